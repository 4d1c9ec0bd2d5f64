"""Verifies files in a child process, so that a file that crashes its reader cannot take the service down."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.contract import schema
from app.contract.reader import read as read_contract
from app.contract.signature import Signature

_log = logging.getLogger(__name__)
_ROOT = Path(__file__).parents[2]
_SECONDS = 120  # for all files of one child
_TOO_LONG = "took longer than {} s"
_UNTIL_READABLE = 2.0  # seconds
_UNTIL_ABLE = 600.0  # a mount that hung or memory that was short may have been the cause, but more likely the file is


@dataclass(frozen=True)
class Verification:
    """The result for a file: why it is rejected, or what it declares and the SHA-256 of the verified bytes.

    A file without a contract declares only its signature.

    Args:
        again: after how many seconds the same file may fare better; None for never.
    """

    rejected: str | None = None
    declared: schema.Contract | Signature | None = None
    digest: str | None = None
    again: float | None = None


def verify(paths: Iterable[Path], module: str = "app.engine.verifier_child") -> dict[Path, Verification]:
    """Verifies files, all in one child process and in order. Thread-safe.

    A file that kills the child or keeps it busy too long is rejected like any other bad file.
    """
    waiting = list(paths)
    found: dict[Path, Verification] = {}
    alone = False
    while waiting:
        batch = waiting[:1] if alone else waiting
        output, end = _run(batch, module)
        for line in output.splitlines(keepends=True):
            if line.endswith(b"\n"):  # else the child died while writing it
                answer = json.loads(line)
                found[Path(answer["path"])] = _read(answer)
        waiting = [path for path in waiting if path not in found]
        # The child answers in order, so it was at work on the first file left. A timeout may be the fault of the files
        # before it: it gets a child and the whole time to itself.
        alone = end == _TOO_LONG and len(batch) > 1
        if not alone and set(batch) & set(waiting):
            found[waiting.pop(0)] = Verification(f"the verifier {end.format(_SECONDS)}", again=_UNTIL_ABLE)
    return found


def _run(paths: list[Path], module: str) -> tuple[bytes, str]:
    """What the child wrote about the files, and how it ended."""
    try:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", module],
            input="".join(json.dumps(str(path)) + "\n" for path in paths).encode(),  # JSON: paths may hold line ends
            capture_output=True,
            cwd=_ROOT,  # where `app` is found, wherever the service was started from
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", _TOO_LONG  # run killed the child; what it wrote before counts
    if child.returncode:
        _log.error("the verifier ended with %d: %s", child.returncode, child.stderr.decode(errors="replace").strip())
    return child.stdout, f"ended with {child.returncode}"


def _read(answer: dict[str, str]) -> Verification:
    if "unreadable" in answer:
        return Verification(answer["unreadable"], again=_UNTIL_READABLE)
    if "rejected" in answer:
        return Verification(rejected=answer["rejected"])
    if "signature" in answer:
        return Verification(declared=Signature.model_validate_json(answer["signature"]), digest=answer["sha256"])
    return Verification(declared=read_contract(answer["contract"]), digest=answer["sha256"])
