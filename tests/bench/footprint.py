"""`make bench-footprint`: what each shipped model adds to the memory of a service, and what a row of it costs a core.

Processor time is that of the process over many requests, so work beside it changes little.
"""

import io
import time
from pathlib import Path

import httpx
import numpy as np

from tests.bench.peak import memory
from tests.serving import ROOT, as_process

ROWS = 64
SECONDS = 4.0
REPOSITORY = ROOT / "models" / "repository"
PICTURE = (1, 28, 28)
SHAPES = {"digits": (1, 8, 8), "diabetes": (10,), "fashion-mnist": PICTURE, "fashion-mnist-deep-ensemble": PICTURE}


def npy(shape: tuple[int, ...], rows: int) -> bytes:
    """Rows of a model as `application/x-npy`."""
    stream = io.BytesIO()
    np.save(stream, np.full((rows, *shape), 0.5, np.float32))
    return stream.getvalue()


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    with as_process(REPOSITORY, MASKSEMBLES_LOAD="lazy", OMP_WAIT_POLICY="passive") as (client, process):
        print(f"no model loaded: {memory('VmRSS', process.pid):.0f} MB")
        for name, shape in SHAPES.items():
            headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npz"}
            url = f"/predict?model={name}&outputs=entropy"
            before = memory("VmRSS", process.pid)
            client.post(url, content=npy(shape, 1), headers=headers).raise_for_status()
            loaded = memory("VmRSS", process.pid) - before
            costs = [cost(client, process.pid, (url, npy(shape, rows), headers)) for rows in (1, ROWS)]
            grown = memory("VmRSS", process.pid) - before
            print(
                f"{name}: {loaded:.0f} MB more when loaded, {grown:.0f} after {ROWS} rows at once; of a core "
                f"{costs[0] * 1e6:.0f} µs for a request of one row, {costs[1] / ROWS * 1e6:.0f} µs for each of {ROWS}",
                flush=True,
            )


def cost(client: httpx.Client, process: int, request: tuple[str, bytes, dict[str, str]]) -> float:
    """Processor seconds of a request, over some seconds of one after the other."""
    url, body, headers = request
    count, used, end = 0, processor_seconds(process), time.monotonic() + SECONDS
    while time.monotonic() < end:
        client.post(url, content=body, headers=headers).raise_for_status()
        count += 1
    return (processor_seconds(process) - used) / count


if __name__ == "__main__":
    main()
