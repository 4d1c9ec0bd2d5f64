"""`make bench-receipts`: what receipts cost, in processor time of the service for a request of one row.

The same request with and without a receipt, in turns, from 1 client and from 32; also to another checkout, such as one
from before there were receipts. The time of a processor depends on what else runs beside it, so what counts are ratios
of requests that followed one another: the median over rounds. Needs wrk.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import orjson

from tests.bench.footprint import processor_seconds
from tests.bench.load import closed, need_wrk
from tests.pictures import pictures
from tests.serving import ROOT, SHIPPED, as_process

CLIENTS = (1, 32)
SECONDS = 1  # of each load: few, so that both of a ratio run beside the same
SECRET = {"MASKSEMBLES_FEEDBACK_SECRET": "a secret of 32 characters or more"}
DEFAULT = [
    "prediction", "probabilities", "entropy", "expected_entropy", "mutual_information", "energy", "percentiles",
    "prediction_set", "decision", "submodels",
]  # fmt: skip


class Case(NamedTuple):
    """A request to a service, and the one that it is compared with."""

    name: str
    url: str
    process: int
    body: Path
    beside: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=18)
    options = parser.parse_args()
    need_wrk()
    with tempfile.TemporaryDirectory() as folder, _cases(Path(folder), options.before) as cases:
        for clients in CLIENTS:
            found: dict[str, list[float]] = {case.name: [] for case in cases}
            for case in cases:
                closed(case.url, case.body, clients, SECONDS)  # loads the model
            for _ in range(options.rounds):
                for case in cases:
                    found[case.name].append(_cost(case, clients))
            print(f"\n{clients} clients: µs of a processor for a request; quartiles of the ratio to another one")
            for case in cases:
                told = f"{case.name:<40} {1e6 * median(found[case.name]):5.0f}"
                if case.beside is not None:
                    ratios = [one / other for one, other in zip(found[case.name], found[case.beside])]
                    told += "  " + " ".join(f"{ratio:.3f}" for ratio in quantiles(ratios)) + f" of {case.beside}"
                print(told, flush=True)


@contextmanager
def _cases(folder: Path, before: Path | None) -> Iterator[list[Case]]:
    row = pictures().inputs[:1]

    def body(name: str, **asked: Any) -> Path:
        path = folder / name
        request = {"model": "fashion-mnist", "inputs": row, **asked}
        path.write_bytes(orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY))
        return path

    default = body("default")
    repository = ROOT / "models" / "repository"
    with as_process(repository, **SHIPPED, **SECRET) as (client, process):
        url, pid = f"{client.base_url}/predict", process.pid
        cases = [
            Case("default", url, pid, default),
            Case("default and receipt", url, pid, body("all", outputs=[*DEFAULT, "receipt"]), "default"),
            Case("prediction", url, pid, body("one", outputs=["prediction"])),
            Case("prediction and receipt", url, pid, body("few", outputs=["prediction", "receipt"]), "prediction"),
        ]
        if before is None:
            yield cases
            return
        with as_process(repository, root=str(before), **SHIPPED) as (old, old_process):
            beside = Case("default, before", f"{old.base_url}/predict", old_process.pid, default)
            cases[0] = cases[0]._replace(beside=beside.name)
            yield [beside, *cases]


def _cost(case: Case, clients: int) -> float:
    """Processor seconds of a request."""
    used = processor_seconds(case.process)
    load = closed(case.url, case.body, clients, SECONDS)
    if load.errors:
        raise SystemExit(f"error: {load.errors} requests of {case.name!r} failed")
    return (processor_seconds(case.process) - used) / (load.throughput * SECONDS)


if __name__ == "__main__":
    main()
