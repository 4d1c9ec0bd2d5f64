"""Rows a second over REST, with binary tensors, and over gRPC, with the same clients in turns: `make bench-transports`.

The clients are Triton's own for asyncio, in processes beside the service, so the figures are those of a whole exchange.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as rest
import tritonclient.http.aio as rest_aio

from tests.pictures import pictures
from tests.serving import ROOT, as_process, free_port

MODEL = "fashion-mnist"
PROCESSES = 2
CLIENTS = (2, 8, 32)
ROWS = (1, 32)
ROUNDS = 3
KINDS = {"rest": (rest, rest_aio), "grpc": (grpc, grpc_aio)}


def load(kind: str, address: str, clients: int, rows: int, seconds: float) -> float:
    """Requests a second of so many clients, each of which sends its next request when it has its answer."""
    module, asyncio_module = KINDS[kind]
    values = np.ascontiguousarray(pictures().inputs[:rows])

    async def run() -> float:
        tensor = module.InferInput("input", list(values.shape), "FP32")
        tensor.set_data_from_numpy(values)
        outputs = [module.InferRequestedOutput(name) for name in ("probabilities", "entropy")]
        done = 0
        async with asyncio_module.InferenceServerClient(address) as client:
            await client.infer(MODEL, [tensor], outputs=outputs)
            until = time.perf_counter() + seconds

            async def ask() -> None:
                nonlocal done
                while time.perf_counter() < until:
                    await client.infer(MODEL, [tensor], outputs=outputs)
                    done += 1

            await asyncio.gather(*[ask() for _ in range(clients)])
        return done / seconds

    return asyncio.run(run())


def measure(kind: str, address: str, clients: int, rows: int, seconds: float) -> float:
    """Rows a second of all processes together."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        given = (kind, address, clients // PROCESSES, rows, seconds)
        return rows * sum(pool.starmap(load, [given] * PROCESSES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write every row to this file")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MODEL).symlink_to(ROOT / "models" / "repository" / MODEL)
        with as_process(Path(folder), MASKSEMBLES_GRPC_PORT=str(port)) as (client, _):
            client.get("/health/ready").raise_for_status()
            addresses = {"rest": client.base_url.netloc.decode(), "grpc": f"127.0.0.1:{port}"}
            print("rows a second over REST and gRPC, median of turns; ratio of gRPC to REST")
            for rows in ROWS:
                for clients in CLIENTS:
                    turns = [
                        {kind: measure(kind, addresses[kind], clients, rows, options.seconds) for kind in KINDS}
                        for _ in range(ROUNDS)
                    ]
                    middle = {kind: median(turn[kind] for turn in turns) for kind in KINDS}
                    ratio = median(turn["grpc"] / turn["rest"] for turn in turns)
                    found.append({"rows": rows, "clients": clients, **middle, "ratio": ratio})
                    print(
                        f"{rows:3} rows a request, {clients:3} clients: {middle['rest']:7.0f} {middle['grpc']:7.0f}, "
                        f"ratio {ratio:4.2f}; load {os.getloadavg()[0]:.1f}",
                        flush=True,
                    )
    if options.json:
        options.json.write_text(json.dumps({"rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
