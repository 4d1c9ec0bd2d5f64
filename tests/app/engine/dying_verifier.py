"""The verifier, but a file named deadly kills it, one named stuck holds it, and one named slow takes its time."""

import os
import signal
import sys
import time

from app.engine import verifier_child

lines = sys.stdin


def _watched() -> object:
    for line in lines:
        if "deadly" in line:
            os.kill(os.getpid(), signal.SIGKILL)
        if "slow" in line or "stuck" in line:
            time.sleep(1.5 if "slow" in line else 60)
        yield line


if __name__ == "__main__":
    sys.stdin = _watched()
    verifier_child.main()
