"""`make bench-formats`: what each way in costs for a picture of 3×224×224 float32, beside a graph of next to no work.

For every way: the request's size, the service's own time from a request's head to an array and from arrays to bytes
(its statistics tell; receiving the body is in it), the time that a client waits, and how long other clients wait
meanwhile: the slowest of many `GET /health/live` while such requests follow each other. Then what a map costs.
"""

import argparse
import io
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import orjson
import torch
from PIL import Image
from torch import nn

from models.export import ExportOptions, export
from tests.bench import maps
from tests.serving import as_process

REQUESTS = 60
Row = dict[str, Any]


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


def ways(rows: int) -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """Path, body and headers of each."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 224, 224, 3), dtype=np.uint8)
    values = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
    npy = io.BytesIO()
    np.save(npy, values)
    tensor = {"name": "input", "datatype": "FP32", "shape": list(values.shape)}
    wanted = {"outputs": [{"name": "entropy"}]}
    head = orjson.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}], **wanted})
    numbers = orjson.OPT_SERIALIZE_NUMPY
    infer = "/v2/models/mean/infer"
    found = {
        "JSON": (
            "/predict",
            orjson.dumps({"inputs": values, "outputs": ["entropy"]}, option=numbers),
            "application/json",
        ),
        "npy": ("/predict?outputs=entropy", npy.getvalue(), "application/x-npy"),
        "v2 JSON": (
            infer,
            orjson.dumps({"inputs": [{**tensor, "data": values.ravel()}], **wanted}, option=numbers),
            "application/json",
        ),
        "v2 binary": (infer, head + values.tobytes(), "application/octet-stream"),
    }
    with_headers = {name: (path, body, {"Content-Type": kind}) for name, (path, body, kind) in found.items()}
    with_headers["v2 binary"][2]["Inference-Header-Content-Length"] = str(len(head))
    if rows == 1:
        for kind in ("PNG", "JPEG"):
            picture = io.BytesIO()
            Image.fromarray(pixels[0]).save(picture, kind)
            header = {"Content-Type": f"image/{kind.lower()}"}
            with_headers[kind] = ("/predict?outputs=entropy", picture.getvalue(), header)
    return with_headers


def others(client: httpx.Client, during: Callable[[], None]) -> float:
    """The longest that a live check takes while something else goes on, in ms."""
    slowest = 0.0
    done = threading.Event()

    def look() -> None:
        nonlocal slowest
        with httpx.Client(base_url=client.base_url) as other:
            other.get("/health/live")
            while not done.is_set():
                before = time.perf_counter()
                other.get("/health/live")
                slowest = max(slowest, time.perf_counter() - before)
                time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    during()
    done.set()
    thread.join()
    return 1000 * slowest


def spent(client: httpx.Client) -> tuple[int, int]:
    """Requests so far, and the nanoseconds that reading and writing took."""
    stats = client.get("/v2/models/mean/stats").json()["model_stats"][0]["inference_stats"]
    return stats["success"]["count"], stats["compute_input"]["ns"] + stats["compute_output"]["ns"]


def measure(client: httpx.Client, name: str, rows: int, path: str, body: bytes, headers: dict[str, str]) -> Row:
    for _ in range(5):
        client.post(path, content=body, headers=headers).raise_for_status()
    count, before = spent(client)
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        client.post(path, content=body, headers=headers).raise_for_status()
        times.append(time.perf_counter() - began)
    after_count, after = spent(client)

    def again() -> None:
        for _ in range(REQUESTS):
            client.post(path, content=body, headers=headers)

    return {
        "way": name,
        "rows": rows,
        "kB": round(len(body) / 1000),
        "service_ms": round((after - before) / (after_count - count) / 1e6, 2),
        "client_ms": round(1000 * median(times), 2),
        "others_wait_ms": round(others(client, again), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    options = parser.parse_args()
    found: list[Row] = []
    print(f"{'way':10} {'rows':>4} {'kB':>6} {'service ms':>10} {'client ms':>9} {'others wait ms':>14}")
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        with as_process(Path(folder)) as (client, _):
            for rows in (1, 4):
                for name, (path, body, headers) in ways(rows).items():
                    row = measure(client, name, rows, path, body, headers)
                    found.append(row)
                    print(
                        f"{name:10} {rows:4} {row['kB']:6} {row['service_ms']:10.2f} {row['client_ms']:9.2f} "
                        f"{row['others_wait_ms']:14.1f}"
                    )
    pictures = maps.measure()
    if options.json:
        options.json.write_text(json.dumps({"requests": found, "maps": pictures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
