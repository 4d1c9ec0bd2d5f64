"""`make bench-formats`: what each way in costs for pictures of 3×224×224 float32, beside a graph of next to no work.

For every way: the request's size; the processor time that the service takes for one, without the graph's; what a client
waits; and how long another client waits meanwhile: the slowest of its checks of `GET /health/live` during a request, of
which the median over all requests stands here. With nothing else to do it waits for what the first line says. Bodies
that are compressed stand beside the processor time of zlib alone. Of 64 rows, which are too many for a batch to join
with others, also the memory that one request takes at its height. Then what a map costs.
"""

import argparse
import gzip
import http.client
import io
import json
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Self

import httpx
import numpy as np
import orjson
import torch
from PIL import Image
from torch import nn

from app.engine.heap import SECONDS
from models.export import ExportOptions, export
from tests.bench import maps
from tests.bench.peak import memory
from tests.serving import as_process

REQUESTS = 60
MANY = 64
INFER = "/v2/models/mean/infer"
COLUMNS = ("kB", "processor_ms", "client_ms", "others_wait_ms", "inflating_ms", "peak_mb")
Row = dict[str, Any]
Way = tuple[str, bytes, dict[str, str]]
"""Path, body and headers."""


def write_model(folder: Path) -> None:
    """A model of pictures that only averages them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    export(
        network,
        torch.rand(2, 3, 224, 224),
        ExportOptions(labels=list("abcd"), value_range=(0.0, 1.0), layout="BCHW", colour="rgb"),
        name="mean",
        repository=folder,
    )


def ways(rows: int) -> dict[str, Way]:
    """Each way in; many rows as numbers alone."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 224, 224, 3), dtype=np.uint8)
    values = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
    npy = io.BytesIO()
    np.save(npy, values)
    tensor = {"name": "input", "datatype": "FP32", "shape": list(values.shape)}
    wanted = {"outputs": [{"name": "entropy"}]}
    head = orjson.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}], **wanted})
    npy_way = ("/predict?outputs=entropy", npy.getvalue(), {"Content-Type": "application/x-npy"})
    length = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    binary = (INFER, head + values.tobytes(), length)
    if rows == MANY:
        return {"npy": npy_way, "v2 binary": binary}
    json_type = {"Content-Type": "application/json"}
    numbers = orjson.OPT_SERIALIZE_NUMPY
    nested = orjson.dumps({"inputs": values, "outputs": ["entropy"]}, option=numbers)
    flat = orjson.dumps({"inputs": [{**tensor, "data": values.ravel()}], **wanted}, option=numbers)
    found = {
        "JSON": ("/predict", nested, json_type),
        "npy": npy_way,
        "v2 JSON": (INFER, flat, json_type),
        "v2 binary": binary,
    }
    if rows == 1:
        for name in ("JSON", "npy"):
            path, body, headers = found[name]
            found[f"{name}, gzip"] = (path, gzip.compress(body, 1), {**headers, "Content-Encoding": "gzip"})
        for kind in ("PNG", "JPEG"):
            picture = io.BytesIO()
            Image.fromarray(pixels[0]).save(picture, kind)
            found[kind] = ("/predict?outputs=entropy", picture.getvalue(), {"Content-Type": f"image/{kind.lower()}"})
    return found


class OtherClient:
    """Looks whether the service lives, over and over, from a thread."""

    def __init__(self, port: int) -> None:
        self._slowest = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(port,))

    def _look(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not self._done.is_set():
            before = time.perf_counter()
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            self._slowest = max(self._slowest, time.perf_counter() - before)
            time.sleep(0.0005)
        connection.close()

    def slowest(self) -> float:
        """Seconds of the slowest look since the last call."""
        found, self._slowest = self._slowest, 0.0
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def graph_seconds(client: httpx.Client) -> float:
    """What the runs of the graph have taken so far."""
    stats = client.get("/v2/models/mean/stats").json()["model_stats"][0]["inference_stats"]
    return float(stats["compute_infer"]["ns"]) / 1e9


def thread_seconds(process: int) -> float:
    """Processor seconds of the threads that a process has, to the nanosecond."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def inflating_ms(body: bytes) -> float:
    """Processor time of zlib alone."""
    times = []
    for _ in range(10):
        began = time.thread_time()
        zlib.decompress(body, 31)
        times.append(time.thread_time() - began)
    return 1000 * median(times)


def peak_mb(client: httpx.Client, process: int, ask: Callable[[], object]) -> float:
    """How much larger the service is at the height of a request than before it."""
    time.sleep(2 * SECONDS)  # by then the heap is trimmed
    before = memory("VmRSS", process)
    Path(f"/proc/{process}/clear_refs").write_text("5")  # VmHWM begins anew
    ask()
    return memory("VmHWM", process) - before


def measure(client: httpx.Client, process: int, name: str, rows: int, way: Way) -> Row:
    path, body, headers = way

    def ask() -> None:
        client.post(path, content=body, headers=headers).raise_for_status()

    count = REQUESTS if rows < MANY else REQUESTS // 4
    for _ in range(5):
        ask()
    used, graph = thread_seconds(process), graph_seconds(client)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    used, graph = thread_seconds(process) - used, graph_seconds(client) - graph
    waits = []
    with OtherClient(client.base_url.port or 80) as other:
        for _ in range(count):
            other.slowest()
            ask()
            waits.append(other.slowest())
    row: Row = {
        "way": name,
        "rows": rows,
        "kB": round(len(body) / 1000),
        "processor_ms": round(1000 * (used - graph) / count, 2),
        "client_ms": round(1000 * median(times), 2),
        "others_wait_ms": round(1000 * median(waits), 2),
    }
    if headers.get("Content-Encoding"):
        row["inflating_ms"] = round(inflating_ms(body), 2)
    if rows == MANY:
        row["peak_mb"] = round(peak_mb(client, process, ask))
    return row


def idle_wait(client: httpx.Client) -> float:
    """What a look takes when the service has nothing else to do, in ms: the slowest in 10 ms, the median of such."""
    waits = []
    with OtherClient(client.base_url.port or 80) as other:
        for _ in range(REQUESTS):
            other.slowest()
            time.sleep(0.01)
            waits.append(other.slowest())
    return 1000 * median(waits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    parser.add_argument("--root", default="", help="another checkout of the service to measure")
    options = parser.parse_args()
    found: list[Row] = []
    print(f"{'way':16} {'rows':>4}" + "".join(f" {name:>14}" for name in COLUMNS))
    settings = {"MASKSEMBLES_MAX_BODY_BYTES": str(2**26), "MASKSEMBLES_MEMORY_BUDGET_MB": "1024"}
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        with as_process(Path(folder), root=options.root, **settings) as (client, process):
            print(f"{'nothing':21}{'':45} {idle_wait(client):14.2f}")
            for rows in (1, 4, MANY):
                for name, way in ways(rows).items():
                    row = measure(client, process.pid, name, rows, way)
                    found.append(row)
                    print(
                        f"{name:16} {rows:4}" + "".join(f" {row.get(column, ''):>14}" for column in COLUMNS), flush=True
                    )
    pictures = maps.measure()
    if options.json:
        options.json.write_text(json.dumps({"requests": found, "maps": pictures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
