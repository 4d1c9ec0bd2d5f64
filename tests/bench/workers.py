"""`make bench-workers`: the service with one process and with several on the same cores, taking turns."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.app.engine.fakes import until
from tests.bench.load import Load, closed, need_wrk
from tests.bench.serving import FIGURES, ROUNDS, Case, cases
from tests.serving import as_process

CLIENTS = (8, 32, 128)


def measure(case: Case, workers: tuple[int, ...], seconds: int) -> list[dict[str, Any]]:
    """Every number of clients in every round, the services taking turns; the median of each figure."""
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        urls: dict[int, str] = {}
        for count in workers:
            settings = {"MASKSEMBLES_WORKERS": str(count)}
            client, _ = stack.enter_context(as_process(case.repository, **settings))
            until(lambda client=client: client.get("/health/ready").status_code == 200, 120)  # type: ignore[misc]
            urls[count] = f"{client.base_url}/predict"
            closed(urls[count], case.body, 32, 1)  # connections, caches
        for clients in CLIENTS:
            found: dict[int, list[Load]] = {count: [] for count in workers}
            for _ in range(ROUNDS):
                for count, url in urls.items():
                    found[count].append(closed(url, case.body, clients, seconds))
            for count, loads in found.items():
                middle = {name: median(getattr(load, name) for load in loads) for name in FIGURES}
                errors = sum(load.errors for load in loads)
                ratios = [load.throughput / alone.throughput for load, alone in zip(loads, found[workers[0]])]
                row = {"workers": count, "clients": clients, **middle, "errors": errors, "ratio": median(ratios)}
                rows.append(row)
                print(
                    f"{clients:4} clients, {count} workers: {row['throughput']:6.0f} requests/s, "
                    f"p50 {row['p50_ms']:6.2f}, p99 {row['p99_ms']:6.2f} ms, {errors} errors; "
                    f"{row['ratio']:.2f} × ({min(ratios):.2f} to {max(ratios):.2f})",
                    flush=True,
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write every row to this file")
    parser.add_argument("--seconds", type=int, default=4, help="of each closed loop")
    parser.add_argument("--only", default="fashion-mnist", help="the model: fashion-mnist or resnet18")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="how many, those to compare with first")
    options = parser.parse_args()
    need_wrk()
    with tempfile.TemporaryDirectory() as folder:
        case = next((case for case in cases(Path(folder)) if case.name == options.only), None)
        if case is None:
            sys.exit(f"no model {options.only}")
        rows = measure(case, tuple(options.workers), options.seconds)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
