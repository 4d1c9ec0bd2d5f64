"""Prints the megabytes of memory that loading a file and answering one batch takes at its peak, in this process.

python -m tests.bench.peak FILE COPIES DEVICE ROWS SIZE…
"""

import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def memory(field: str, process: int | str = "self") -> float:
    """A field of a process's status, in megabytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/{process}/status has no {field}")
    return int(found[1]) / 1024


def main(path: str, copies: str, device: str, *shape: str) -> None:
    onnxruntime.set_default_logger_severity(4)
    x = np.zeros([int(size) for size in shape], np.float32)
    before = memory("VmRSS")
    sessions = [onnxruntime.InferenceSession(path, providers=[_PROVIDERS[device]]) for _ in range(int(copies))]
    for session in sessions:
        session.run(["probabilities"], {session.get_inputs()[0].name: x})
    print(memory("VmHWM") - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
