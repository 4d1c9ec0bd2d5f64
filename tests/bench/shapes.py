"""Resident memory of the service while clients send pictures of 1,000 sizes, in the order that is worst for an arena:
each larger than all before. It must stay within the limit after the first pass (`make soak-shapes`).

A small model of its own has 8 clients; `scenes`, with --scenes, has 32 and answers with a map of each picture.
"""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np

from app.contract.axis import FreeAxis
from app.contract.tensor import Tensor
from tests import artefacts, graphs
from tests.serving import ROOT, as_process

_AXES = {"H": FreeAxis(least=16, most=512, multiple_of=16), "W": FreeAxis(least=16, most=512, multiple_of=16)}
_LIMIT = 64  # MiB that a second pass over all sizes may add


class Pictures(NamedTuple):
    """What is sent to whom."""

    model: str
    clients: int
    shape: tuple[int, int]
    """Rows and channels."""
    sides: range
    """Heights and widths."""
    outputs: tuple[str, ...]


_SMALL = Pictures("free", 8, (2, 3), range(16, 513, 16), ("probabilities",))
_SCENES = Pictures("scenes", 32, (1, 1), range(32, 385, 8), ("prediction", "row_entropy"))


def main() -> None:
    """Prints the figures; fails if memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=1000)
    parser.add_argument("--scenes", action="store_true", help="send them to the shipped model")
    asked = parser.parse_args()
    sent = _SCENES if asked.scenes else _SMALL
    every = sorted(product(sent.sides, repeat=2), key=lambda size: size[0] * size[1])
    sizes = [every[index * len(every) // asked.sizes] for index in range(asked.sizes)]
    given = Tensor(name="input", dtype="uint8", shape=("B", 3, "H", "W"), unit="pixel")
    with tempfile.TemporaryDirectory() as folder:
        artefacts.write(Path(folder), "free", *graphs.classifier(given, "abc", submodels=4, axes=_AXES))
        repository = ROOT / "models" / "repository" if asked.scenes else Path(folder)
        with as_process(repository, MASKSEMBLES_LOAD="lazy", MASKSEMBLES_QUEUE_TIMEOUT_MS="600000") as (
            client,
            process,
        ):

            def send(size: tuple[int, int]) -> None:
                shape = [*sent.shape, *size]
                rows = np.zeros(shape, np.uint8).tobytes()
                tensor = {"name": "input", "datatype": "UINT8", "shape": shape}
                _infer(client, sent, {**tensor, "parameters": {"binary_data_size": len(rows)}}, rows)

            send(sizes[0])  # loads the model
            found = [_resident(process.pid)]
            with ThreadPoolExecutor(sent.clients) as clients:
                for _ in range(2):
                    list(clients.map(send, sizes))
                    found.append(_resident(process.pid))
    start, first, second = found
    print(
        f"resident: {start} MiB at the start, {first} after {len(set(sizes))} sizes, {second} after all of them again"
    )
    if second - first > _LIMIT:
        raise SystemExit(f"memory grows: by {second - first} MiB, at most {_LIMIT} are allowed")


def _infer(client: httpx.Client, sent: Pictures, tensor: dict[str, object], rows: bytes) -> None:
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in sent.outputs]
    head = httpx.Request("POST", "http://x", json={"inputs": [tensor], "outputs": outputs}).content
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    path = f"/v2/models/{sent.model}/infer"
    client.post(path, content=head + rows, headers=headers, timeout=600).raise_for_status()


def _resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 // 2**20


if __name__ == "__main__":
    main()
