"""Verifies files in a child process, so that a file that crashes its reader cannot take the service down."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from app.contract import schema
from app.contract.reader import read as read_contract
from app.contract.signature import Signature
from app.engine.reason import reason

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).parents[2]
_SECONDS = 150  # for one file; the child itself gives up before, and says why
_UNTIL_READABLE = 2.0  # seconds
_UNTIL_ABLE = 600.0  # a mount that hung or memory that was short may have been the cause, but more likely the file is


@dataclass(frozen=True)
class Verification:
    """The result for a file: why it is rejected, or what it declares and the SHA-256 of the verified bytes.

    A file without a contract declares only its signature.

    Args:
        again: after how many seconds the same file may fare better; None for never.
        seconds: how long it took.
        peak: the most memory that the process had resident that read the file, in bytes; 0 where that is not known.
    """

    rejected: str | None = None
    declared: schema.Contract | Signature | None = None
    digest: str | None = None
    again: float | None = None
    seconds: float = 0.0
    peak: int = 0


def verify(
    paths: Iterable[Path],
    device: str = "cpu",
    *,
    allow_bare: bool = False,
    module: str = "app.engine.verifier_child",
) -> dict[Path, Verification]:
    """Verifies files, all in one child process and in order. Thread-safe.

    A file that kills the child, or takes too much memory or time, is rejected like any other bad file.

    Args:
        device: `cpu` or `cuda`, where the files are to run.
        allow_bare: whether files without a contract are to be loaded, too.
    """
    command = [sys.executable, "-m", module, device, *(["bare"] if allow_bare else [])]
    found: dict[Path, Verification] = {}
    waiting = list(paths)
    while waiting:
        with _Child(command) as child:
            while waiting and (answer := child.ask(waiting[0])) is not None:
                found[waiting.pop(0)] = _read(answer)
        if waiting:  # the child ended at work on the first
            found[waiting.pop(0)] = Verification(f"the verifier {child.end}", again=_UNTIL_ABLE)
    return found


class _Child:
    """The process; a context manager around it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=_ROOT,  # where `app` is found, wherever the service was started from
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork is safe where there is one thread
        )
        self._to, self._from = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self.end = ""
        """How it ended."""

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *error: object) -> None:
        _, errors = self._process.communicate()  # closes its input, with which it ends
        self.end = self.end or f"ended with {self._process.returncode}"
        if self._process.returncode:
            _log.error("the verifier %s: %s", self.end, errors.decode(errors="replace").strip())

    def ask(self, path: Path) -> dict[str, Any] | None:
        """What it says about a file; None if it did not come to say it."""
        timer = threading.Timer(_SECONDS, self._give_up)
        timer.start()
        try:
            self._to.write(json.dumps(str(path)).encode() + b"\n")  # JSON: paths may hold line ends
            self._to.flush()
            line = self._from.readline()
        except OSError:  # it does not even read
            return None
        finally:
            timer.cancel()
        return json.loads(line) if line.endswith(b"\n") else None  # else it died while writing

    def _give_up(self) -> None:
        self.end = f"took longer than {_SECONDS} s"
        self._process.kill()


def _read(answer: dict[str, Any]) -> Verification:
    cost = {"seconds": answer["seconds"], "peak": answer["peak"]}
    for kind, again in (("rejected", None), ("unreadable", _UNTIL_READABLE), ("killed", _UNTIL_ABLE)):
        if kind in answer:
            return Verification(reason(answer[kind]), again=again, **cost)
    declared: schema.Contract | Signature
    if "signature" in answer:
        declared = Signature.model_validate_json(answer["signature"])
    else:
        declared = read_contract(answer["contract"])
    return Verification(declared=declared, digest=answer["sha256"], **cost)
