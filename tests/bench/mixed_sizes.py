"""32 clients whose inputs have many sizes, against the same session called with one request at a time
(`make bench-sizes`).

`scenes` gets pictures, `languages` words. Service and session take turns on one machine, the session in this process
and without HTTP, so the ratio is what batching gains less what HTTP costs.
"""

import argparse
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from app.engine.cpu_count import cpu_count
from app.engine.device import Device
from app.engine.model import Model
from app.engine.row_shapes import Feeds
from app.engine.session import Session
from tests import artefacts
from tests.bench.load import Load, mixed, need_wrk
from tests.bench.record import write
from tests.serving import ROOT, as_process

_CLIENTS = 32
_REQUESTS = 400  # different ones, which clients send in turn


class Traffic(NamedTuple):
    """What clients send to a model."""

    name: str
    kind: str
    """The content type."""
    query: str
    outputs: tuple[str, ...]
    """Of the graph, which the answers are written from."""
    requests: Callable[[np.random.Generator], tuple[bytes, Feeds]]
    """One request: its body, and what the session gets."""


def _picture(draw: np.random.Generator) -> tuple[bytes, Feeds]:
    height, width = 8 * draw.integers(4, 17, 2)
    pixels = np.kron(draw.integers(0, 256, (height // 8, width // 8)), np.ones((8, 8))).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue(), {"input": pixels[None, None]}


def _word(draw: np.random.Generator) -> tuple[bytes, Feeds]:
    ids = draw.integers(2, 28, (1, int(draw.integers(2, 21))))
    return json.dumps({"model": "languages", "inputs": ids.tolist()}).encode(), {"input": ids.astype(np.int64)}


_ROWS = ("row_confidence", "row_entropy", "row_expected_entropy", "row_mutual_information", "row_energy", "row_shares")
_SCORES = ("prediction", "probabilities", "entropy", "expected_entropy", "mutual_information", "energy", "submodels")
TRAFFIC = (
    Traffic("scenes", "image/png", "?model=scenes", _ROWS, _picture),
    Traffic("languages", "application/json", "", _SCORES, _word),
)


def main() -> None:
    """Prints requests a second of both, and their ratio; writes them with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    need_wrk()
    found = {}
    for traffic in TRAFFIC:
        found[traffic.name] = one = _measure(traffic, asked.seconds, asked.rounds)
        print(
            f"{traffic.name}: {one['service']:.0f} requests/s by {_CLIENTS} clients of the service, p50 "
            f"{one['p50_ms']:.1f} ms, p99 {one['p99_ms']:.1f} ms; {one['session']:.0f} by the session alone, one at a "
            f"time; ratio {one['ratio']:.2f} ({one['least']:.2f} to {one['most']:.2f})"
        )
    if asked.json is not None:
        write(asked.json, "make bench-sizes", found)


def _measure(traffic: Traffic, seconds: int, rounds: int) -> dict[str, float]:
    repository = ROOT / "models" / "repository"
    path = max((repository / traffic.name).glob("*/model.onnx"), key=lambda one: int(one.parent.name))
    _, contract = artefacts.load(path)
    device, free = Device("cpu", "cpu", "to measure"), bool(contract.axes)
    content = path.read_bytes()
    model = Model(traffic.name, 1, contract, [Session(content, device, free=free)])
    if not int(0.5e-3 / model.seconds_per_row()):  # as the service chooses
        model = Model(traffic.name, 1, contract, [Session(content, device, cpu_count(), free=free)])
    given = contract.inputs[0].name
    draw = np.random.default_rng(0)
    requests = [traffic.requests(draw) for _ in range(_REQUESTS)]
    feeds = [{given: one["input"]} for _, one in requests]
    with tempfile.TemporaryDirectory() as folder:
        for index, (body, _) in enumerate(requests, 1):
            (Path(folder) / str(index)).write_bytes(body)
        with as_process(repository, MASKSEMBLES_LOAD="lazy") as (client, _):
            url = f"{client.base_url}/predict{traffic.query}"
            loads: list[Load] = []
            alone: list[float] = []
            for _ in range(rounds + 1):
                loads.append(mixed(url, Path(folder), (_REQUESTS, traffic.kind), _CLIENTS, seconds))
                alone.append(_session(model, feeds, traffic.outputs, seconds))
    if any(load.errors for load in loads):
        raise SystemExit(f"error: {traffic.name}: {sum(load.errors for load in loads)} requests failed")
    loads, alone = loads[1:], alone[1:]  # the first ones warm up
    ratios = [load.throughput / one for load, one in zip(loads, alone)]
    return {
        "service": statistics.median(load.throughput for load in loads),
        "session": statistics.median(alone),
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "p50_ms": statistics.median(load.p50_ms for load in loads),
        "p99_ms": statistics.median(load.p99_ms for load in loads),
    }


def _session(model: Model, feeds: list[Feeds], outputs: tuple[str, ...], seconds: int) -> float:
    """Requests a second, one after the other."""
    began = time.perf_counter()
    done = 0
    while time.perf_counter() - began < seconds:
        model.sessions[0].run(feeds[done % len(feeds)], outputs)
        done += 1
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
