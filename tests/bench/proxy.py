"""`make bench-proxy`: one replica of the container asked directly and through the proxy, in turns.

Both are asked at their addresses in Docker's network, so nothing differs but the proxy. Needs
Docker and wrk.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import orjson

from tests.bench.footprint import processor_seconds
from tests.bench.load import closed, need_wrk
from tests.scale.fleet import docker, fleet
from tests.serving import ROOT

CLIENTS = (1, 8, 32, 128)
ROUNDS = 5
SECONDS = 5


def measure(direct: str, proxied: str, body: Path, proxy: int) -> list[dict[str, Any]]:
    """A row for each number of clients: medians over the rounds, and of the ratios within each round.

    Args:
        proxy: the process of the proxy, for the microseconds of a core that it takes for a request.
    """
    rows = []
    for clients in CLIENTS:
        before = processor_seconds(proxy)
        pairs = [
            (closed(direct, body, clients, SECONDS), closed(proxied, body, clients, SECONDS)) for _ in range(ROUNDS)
        ]
        used = processor_seconds(proxy) - before
        errors = [sum(pair[at].errors for pair in pairs) for at in (0, 1)]
        ratios = [proxy.throughput / alone.throughput for alone, proxy in pairs]
        row = {
            "clients": clients,
            "direct": round(median(alone.throughput for alone, _ in pairs)),
            "proxied": round(median(proxy.throughput for _, proxy in pairs)),
            "ratio": round(median(ratios), 2),
            "ratios": [round(min(ratios), 2), round(max(ratios), 2)],
            "p50_ms": [round(median(pair[at].p50_ms for pair in pairs), 2) for at in (0, 1)],
            "p99_ms": [round(median(pair[at].p99_ms for pair in pairs), 1) for at in (0, 1)],
            "errors": errors,
            "proxy_us": round(1e6 * used / sum(SECONDS * proxy.throughput for _, proxy in pairs)),
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    path = parser.parse_args().json
    need_wrk()
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body.json"
        asked = {"model": "fashion-mnist", "inputs": np.full((1, 1, 28, 28), 0.5).tolist()}
        body.write_bytes(orjson.dumps(asked))
        with fleet(1, ROOT / "models" / "repository", MASKSEMBLES_LOAD="lazy") as one:
            (replica,) = one.replicas()
            proxy = f"{one.project}-proxy-1"
            direct, proxied = (f"http://{one.address(name)}:8000/predict" for name in (replica, proxy))
            for url in (direct, proxied):
                closed(url, body, 8, SECONDS)
            rows = measure(direct, proxied, body, int(docker("inspect", proxy, "--format", "{{.State.Pid}}")))
    if path is not None:
        path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
