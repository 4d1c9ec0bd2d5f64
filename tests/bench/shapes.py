"""Resident memory of the service while 8 clients send pictures of 1,000 sizes, in the order that is worst for an arena:
each larger than all before. It must stay within the limit after the first pass (`make soak-shapes`)."""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import httpx
import numpy as np

from app.contract.axis import FreeAxis
from app.contract.tensor import Tensor
from tests import artefacts, graphs
from tests.serving import as_process

_AXES = {"H": FreeAxis(least=16, most=512, multiple_of=16), "W": FreeAxis(least=16, most=512, multiple_of=16)}
_LIMIT = 64  # MiB that a second pass over all sizes may add


def main() -> None:
    """Prints the figures; fails if memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=1000)
    asked = parser.parse_args()
    every = sorted(product(range(16, 513, 16), repeat=2), key=lambda size: size[0] * size[1])
    sizes = [every[index * len(every) // asked.sizes] for index in range(asked.sizes)]
    given = Tensor(name="input", dtype="uint8", shape=("B", 3, "H", "W"), unit="pixel")
    with tempfile.TemporaryDirectory() as folder:
        artefacts.write(Path(folder), "free", *graphs.classifier(given, "abc", submodels=4, axes=_AXES))
        with as_process(Path(folder)) as (client, process):

            def send(size: tuple[int, int]) -> None:
                shape = [2, 3, *size]
                rows = np.zeros(shape, np.uint8).tobytes()
                tensor = {"name": "input", "datatype": "UINT8", "shape": shape}
                _infer(client, {**tensor, "parameters": {"binary_data_size": len(rows)}}, rows)

            found = [_resident(process.pid)]
            with ThreadPoolExecutor(8) as clients:
                for _ in range(2):
                    list(clients.map(send, sizes))
                    found.append(_resident(process.pid))
    start, first, second = found
    print(
        f"resident: {start} MiB at the start, {first} after {len(set(sizes))} sizes, {second} after all of them again"
    )
    if second - first > _LIMIT:
        raise SystemExit(f"memory grows: by {second - first} MiB, at most {_LIMIT} are allowed")


def _infer(client: httpx.Client, tensor: dict[str, object], rows: bytes) -> None:
    head = httpx.Request("POST", "http://x", json={"inputs": [tensor]}).content
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    client.post("/v2/models/free/infer", content=head + rows, headers=headers).raise_for_status()


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 // 2**20


if __name__ == "__main__":
    main()
