"""Reads the files of a model repository, where a path may name anything: a pipe, a device, a file of terabytes."""

import os
import stat
from pathlib import Path

from app.failures import FileUnreadable, ModelRejected

MOST_BYTES = 2**31 - 1
"""The most that one message of protobuf, and so an ONNX file, may have."""
# a pipe without a writer is opened at once, a terminal does not become ours; Windows has none of them
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))


def size(path: Path) -> int:
    """The size in bytes of a file that may be read.

    Raises:
        OSError: nobody can say now.
        ModelRejected: it is no regular file, or larger than any ONNX file.
    """
    return _checked(path.stat())


def read(path: Path) -> bytes:
    """The whole content of a regular file, or of one that a link leads to.

    Raises:
        OSError: it cannot be opened or read.
        FileUnreadable: it grew or shrank meanwhile.
        ModelRejected: see size.
    """
    size(path)  # first: to open a device may set it to work, and to open a socket fails with a strange reason
    with open(os.open(path, _FLAGS), "rb") as file:
        expected = _checked(os.fstat(file.fileno()))  # of what was opened: the path may have come to name another
        content = file.read(expected + 1)
    if len(content) != expected:
        raise FileUnreadable("changed while it was read")
    return content


def _checked(status: os.stat_result) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise ModelRejected("not a regular file")
    if status.st_size > MOST_BYTES:
        raise ModelRejected(f"has {status.st_size} bytes; an ONNX file has at most {MOST_BYTES}")
    return status.st_size
