"""The verifier, but a file named deadly kills it."""

import os
import signal
import sys

from app.engine import verify

lines = sys.stdin


def _deadly() -> object:
    for line in lines:
        if "deadly" in line:
            os.kill(os.getpid(), signal.SIGKILL)
        yield line


if __name__ == "__main__":
    sys.stdin = _deadly()  # type: ignore[assignment]
    verify.main()
