"""The verifier with files that go wrong by name.

`deadly` kills whoever reads it, `fatal` the child itself; `slow` takes its time, and `stuck` and `deaf` hold them up.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from app.engine import verifier_child

_verify, _lines = verifier_child.verify_file, sys.stdin


def _verify_oddly(path: Path, *arguments: Any, **options: Any) -> dict[str, str]:
    if "deadly" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "slow" in path.name or "stuck" in path.name:
        time.sleep(1.5 if "slow" in path.name else 60)
    return _verify(path, *arguments, **options)


def _watched() -> object:
    for line in _lines:
        if "fatal" in line:
            os.kill(os.getpid(), signal.SIGKILL)
        if "deaf" in line:
            time.sleep(60)
        yield line


if __name__ == "__main__":
    verifier_child._SECONDS = 4
    verifier_child.verify_file = _verify_oddly
    sys.stdin = _watched()
    verifier_child.main()
