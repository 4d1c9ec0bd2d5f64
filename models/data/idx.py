"""Reads the IDX format of MNIST and its relatives, plain or gzipped; errors say what is wrong with a file."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import DatasetError

_UINT8 = 0x08


def read_idx(path: Path, shape: tuple[int | None, ...]) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file; None in `shape` lets that axis have any size.

    Raises:
        DatasetError: the file is missing, truncated, too long, damaged, or holds something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    try:
        if content[:2] == b"\x1f\x8b":  # gzip by its first bytes, whatever the file is called
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: truncated or damaged gzip file ({error})") from error
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DatasetError(f"{path}: not an IDX file (it begins with {content[:4].hex() or 'nothing'})")
    kind, rank = content[2], content[3]  # after two zeros: type, number of axes, then a size for each
    if kind != _UINT8 or rank != len(shape):
        raise DatasetError(
            f"{path}: expected unsigned bytes on {len(shape)} axes, the header says type 0x{kind:02x} on {rank} axes"
        )
    header = 4 + 4 * rank
    if len(content) < header:
        raise DatasetError(f"{path}: truncated within its header")
    sizes = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, 4))  # big-endian
    if any(want not in (None, got) for want, got in zip(shape, sizes)):
        raise DatasetError(f"{path}: expected shape {_spell(shape)}, the header says {_spell(sizes)}")
    if len(content) - header != prod(sizes):
        raise DatasetError(
            f"{path}: truncated or in another format, {_spell(sizes)} needs {prod(sizes)} bytes of data, "
            f"there are {len(content) - header}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)


def _spell(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
