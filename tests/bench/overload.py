"""`make bench-overload`: what `make bench` shows of overload, in minutes and beside another checkout.

Each service in turn: the best rate from 32 clients, then rates above it in an open loop. Good answers are compared to
the better of the two bests before and after. Needs wrk.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.load import closed, need_wrk, opened
from tests.bench.serving import Case, Server, cases, ours

FACTORS = (2.0, 5.0)
CLIENTS = 32


class Overload(NamedTuple):
    """One open loop."""

    best: float
    """Good answers a second before it."""
    offered: float
    """Requests a second."""
    share: float
    """Good answers, in parts of the best rate."""
    p50_ms: float
    """Of good answers."""
    refused_p50_ms: float
    refusal_us: float
    """Processor time of the event loop's thread for a refusal, what good answers take left aside."""
    unexpected: int
    """Answers other than 200, 503 and 504, and requests without any."""


def measure(service: Server, body: Path, factors: list[float], seconds: int, best_seconds: int) -> list[Overload]:
    """The rates in order."""
    found = []
    best, cost = _best(service, body, best_seconds)
    for factor in factors:
        before = _loop_seconds(service)
        load = opened(service.url, body, factor * best, seconds)
        spent = _loop_seconds(service) - before
        after, cost_after = _best(service, body, best_seconds)
        rejected = load.rejected * seconds
        found.append(
            Overload(
                best,
                load.offered,
                load.throughput / max(best, after),
                load.p50_ms,
                load.rejected_p50_ms,
                1e6 * (spent - load.throughput * seconds * min(cost, cost_after)) / max(1.0, rejected),
                load.unexpected + load.failed,
            )
        )
        best, cost = after, cost_after
    return found


def _best(service: Server, body: Path, seconds: int) -> tuple[float, float]:
    """Good answers a second, and seconds of the event loop's thread for each."""
    before = _loop_seconds(service)
    load = closed(service.url, body, CLIENTS, seconds)
    return load.throughput, (_loop_seconds(service) - before) / (load.throughput * seconds)


def _loop_seconds(service: Server) -> float:
    """Processor time of the event loop's thread, which is the first."""
    return int(Path(f"/proc/{service.process}/task/{service.process}/schedstat").read_text().split()[0]) / 1e9


def compare(case: Case, options: argparse.Namespace) -> None:
    """Prints each round of each checkout, and the medians."""
    found: dict[tuple[str, float], list[Overload]] = {}
    print(f"\n{case.name}: best → offered a second; good (share of the best), p50 ms; refused, p50 ms; µs of a refusal")
    with ours(case, options.before) as services:
        for service in services:
            closed(service.url, case.body, CLIENTS, 1)  # connections, caches
        for _ in range(options.rounds):
            for service in services:
                rows = measure(service, case.body, options.factors, options.seconds, options.best_seconds)
                for factor, row in zip(options.factors, rows):
                    found.setdefault((service.name, factor), []).append(row)
                    print(_told(service.name, factor, row), flush=True)
    for (name, factor), rows in found.items():
        if options.rounds > 1:
            print("median " + _told(name, factor, Overload(*map(median, zip(*rows)))))


def _told(name: str, factor: float, row: Overload) -> str:
    return (
        f"{name:6} {factor:g} ×: {row.best:5.0f} → {row.offered:6.0f}; {row.share:4.2f} {row.p50_ms:6.1f}; "
        f"{row.refused_p50_ms:6.1f}; {row.refusal_us:5.0f}; unexpected {row.unexpected:g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", help="another checkout to compare with")
    parser.add_argument("--only", help="the one model to measure: fashion-mnist or resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS, help="of the best rate")
    parser.add_argument("--seconds", type=int, default=10, help="of each open loop")
    parser.add_argument("--best-seconds", type=int, default=3, help="of each closed loop")
    options = parser.parse_args()
    need_wrk()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            if options.only in (None, case.name):
                compare(case, options)


if __name__ == "__main__":
    main()
