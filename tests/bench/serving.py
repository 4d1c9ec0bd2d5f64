"""`make bench`: bare onnxruntime, a plain FastAPI service and ours, taking turns on the same file with the same loader.

Once with the shipped Fashion-MNIST model, whose row takes a fraction of a millisecond, and once with a ResNet-18 with
fresh weights, whose row takes several. `make bench JSON=file` also writes every row to a file, and `BEFORE=checkout`
lets the service of another checkout take its turn, too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import onnxruntime
import orjson
import torch
from numpy.typing import NDArray

from app.contract.repository import model_path, plan_path
from app.engine.cpu_count import cpu_count
from models.export import ExportOptions, export
from models.networks.resnet import resnet
from tests.bench.baseline import OUTPUTS
from tests.bench.footprint import processor_seconds
from tests.bench.load import Load, closed, need_wrk, opened
from tests.bench.peak import memory
from tests.pictures import pictures
from tests.serving import ROOT, as_process, free_port

CLIENTS = (1, 8, 32, 128)
RATES = (0.5, 1.0, 2.0, 5.0)
ROUNDS = 3
OVERLOAD_SECONDS = 60
QUEUE = 128
"""Rows that may wait: more than the closed loops have, fewer than the open loop has connections."""
FIGURES = ("throughput", "p50_ms", "p99_ms")
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A model in a repository of its own, and the request that is posted."""

    name: str
    repository: Path
    file: Path
    body: Path
    rows: NDArray[np.float32]


@dataclass(frozen=True)
class Server:
    """A running service."""

    name: str
    url: str
    process: int

    def cpu_seconds(self) -> float:
        return processor_seconds(self.process)

    def resident_mb(self) -> float:
        return memory("VmRSS", self.process)


def cases(folder: Path) -> Iterator[Case]:
    """The shipped model and a larger one."""
    rows = np.ascontiguousarray(pictures().inputs[:16])
    body = folder / "body.json"
    body.write_bytes(orjson.dumps({"inputs": rows[:1]}, option=orjson.OPT_SERIALIZE_NUMPY))
    shipped = ROOT / "models" / "repository" / "fashion-mnist"
    version = max(int(path.name) for path in shipped.iterdir())
    (folder / "small").mkdir()
    (folder / "small" / "fashion-mnist").symlink_to(shipped)
    yield Case("fashion-mnist", folder / "small", plan(folder / "small", "fashion-mnist", version), body, rows)
    torch.manual_seed(0)
    network = resnet((1, 28, 28), 10, submodels=4, scale=2.19, align=16)
    print("exporting ResNet-18 …", file=sys.stderr, flush=True)
    export(
        network,
        torch.from_numpy(rows[:2]),
        ExportOptions(labels=list("0123456789")),
        name="resnet18",
        repository=folder / "large",
    )
    yield Case("resnet18", folder / "large", plan(folder / "large", "resnet18", 1), body, rows)


def plan(repository: Path, name: str, version: int) -> Path:
    """The file that the service takes on a CPU."""
    planned = plan_path(repository, name, version, "cpu")
    return planned if planned.exists() else model_path(repository, name, version)


@contextmanager
def ours(case: Case, before: str | None) -> Iterator[list[Server]]:
    """Our service of another checkout if there is one, and that of this one, all ready."""
    checkouts = {"ours": ""} if before is None else {"before": before, "ours": ""}
    with ExitStack() as stack:
        servers = []
        for name, root in checkouts.items():
            client, process = stack.enter_context(
                as_process(case.repository, root=root, MASKSEMBLES_MAX_QUEUE_ROWS=str(QUEUE))
            )
            client.get("/health/ready").raise_for_status()
            servers.append(Server(name, f"{client.base_url}/predict", process.pid))
        yield servers


@contextmanager
def running(case: Case, before: str | None) -> Iterator[list[Server]]:
    """The plain service, ours of another checkout if there is one, and ours, all ready."""
    port = free_port()
    plain = subprocess.Popen([sys.executable, "-m", "tests.bench.baseline", str(case.file), str(port), "0"], cwd=ROOT)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx.get(f"http://127.0.0.1:{port}/openapi.json")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        with ours(case, before) as servers:
            yield [Server("baseline", f"http://127.0.0.1:{port}/predict", plain.pid), *servers]
    finally:
        plain.terminate()
        plain.wait(30)


class Raw:
    """A bare session: what there is to serve with, and how much of its time a request is."""

    def __init__(self, case: Case, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(case.file), options, providers=["CPUExecutionProvider"])
        self._rows = case.rows

    def load(self, clients: int, seconds: float) -> tuple[Load, float]:
        """As many rows at once as there are clients, at most 16; also the CPU seconds of a row."""
        rows = self._rows[: min(clients, len(self._rows))]
        times: list[float] = []
        began, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            before = time.perf_counter()
            self._session.run(OUTPUTS, {"input": rows})
            times.append(time.perf_counter() - before)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        done = len(times) * len(rows)
        times.sort()
        p50, p99 = (1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
        return Load(done / took, p50, p99, 0), cpu / done


def row(case: Case, server: str, mode: str, clients: int, rate: float | None, load: Load) -> Row:
    return {"model": case.name, "server": server, "mode": mode, "clients": clients, "rate": rate, **asdict(load)}


def closed_loop(case: Case, servers: list[Server], raw: Raw, seconds: int) -> list[Row]:
    """Every number of clients several times, the servers taking turns; the median of each figure."""
    rows: list[Row] = []
    print(f"\n{case.name}, closed loop: requests/s, p50 ms, p99 ms, CPU outside session.run in ms a request; ratios")
    for clients in CLIENTS:
        found: dict[str, list[Load]] = {"raw": [], **{server.name: [] for server in servers}}
        outside: dict[str, list[float]] = {server.name: [] for server in servers}
        for server in servers:
            closed(server.url, case.body, clients, 1)  # connections, caches
        for _ in range(ROUNDS):
            bare, cpu_of_a_row = raw.load(clients, seconds / 2)
            found["raw"].append(bare)
            for server in servers:
                before = server.cpu_seconds()
                load = closed(server.url, case.body, clients, seconds)
                found[server.name].append(load)
                cpu = (server.cpu_seconds() - before) / (load.throughput * seconds)
                outside[server.name].append(1000 * (cpu - cpu_of_a_row))
        for name, loads in found.items():
            throughput, p50, p99 = (median(getattr(load, key) for load in loads) for key in FIGURES)
            middle = Load(throughput, p50, p99, sum(load.errors for load in loads))
            spent = {"cpu_ms": median(outside[name])} if name in outside else {}
            rows.append(row(case, name, "closed", clients, None, middle) | spent)
        shown = "".join(
            f"  {each['server']} {each['throughput']:7.0f} {each['p50_ms']:7.2f} {each['p99_ms']:7.2f}"
            + (f" {each['cpu_ms']:.3f}" if "cpu_ms" in each else "")
            for each in rows[-len(found) :]
        )
        print(f"{clients:4} clients{shown}", flush=True)
        for server in servers[:-1]:
            each = [_ratio(found["ours"], found[server.name], key) for key in FIGURES]
            each.append(median(one / other for one, other in zip(outside["ours"], outside[server.name])))
            print(f"     ours to {server.name}:", *(f"{ratio:.2f}" for ratio in each), flush=True)
        print(f"     ours to raw: {_ratio(found['ours'], found['raw'], 'throughput'):.2f}", flush=True)
    return rows


def _ratio(some: list[Load], others: list[Load], key: str) -> float:
    """The median of those of each round."""
    return median(getattr(one, key) / getattr(other, key) for one, other in zip(some, others))


def open_loop(case: Case, servers: list[Server], seconds: int) -> list[Row]:
    """Rates around what each can take, as the same loader finds it."""
    rows: list[Row] = []
    print(f"\n{case.name}, open loop: offered, accepted (share of the best), p50, p99; rejected, p50; megabytes")
    for server in servers:
        best = max(closed(server.url, case.body, 32, 4).throughput for _ in range(2))
        for factor in RATES:
            if server.name == "baseline" and factor > 1:
                continue  # it queues without bound, and would be measured by the connections of the loader
            before = server.resident_mb()
            load = opened(server.url, case.body, factor * best, OVERLOAD_SECONDS if factor > 1 else seconds)
            after = server.resident_mb()
            calm = closed(server.url, case.body, 1, 2)
            rows.append(row(case, server.name, "open", 0, factor * best, load))
            print(f"{server.name:8} {factor:3.1f} × {best:5.0f}/s: {load.offered:6.0f} {load.throughput:6.0f} "
                  f"({load.throughput / best:4.2f}) {load.p50_ms:7.1f} {load.p99_ms:7.1f}; {load.rejected:6.0f} "
                  f"{load.rejected_p50_ms:6.1f}; {before:.0f} → {after:.0f}; unexpected {load.unexpected}; "
                  f"then 1 client p50 {calm.p50_ms:.2f}", flush=True)  # fmt: skip
    return rows


def start() -> None:
    """How long the shipped repository takes to be ready, and what it takes of memory."""
    began = time.perf_counter()
    with as_process(ROOT / "models" / "repository") as (client, process):
        client.get("/health/ready").raise_for_status()
        took = time.perf_counter() - began
        server = Server("ours", "", process.pid)
        print(f"start to ready {took:.2f} s, resident {server.resident_mb():.0f} MB", end="", flush=True)
        body = (ROOT / "tests" / "data" / "coat.json").read_bytes()
        for _ in range(200):
            client.post("/predict", content=body, headers={"content-type": "application/json"}).raise_for_status()
        print(f", after 200 requests {server.resident_mb():.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write every row to this file")
    parser.add_argument("--seconds", type=int, default=4, help="of each closed loop")
    parser.add_argument("--open-seconds", type=int, default=15, help="of each open loop")
    parser.add_argument("--only", help="the one model to measure")
    parser.add_argument("--before", help="another checkout to compare with")
    options = parser.parse_args()
    need_wrk()
    rows: list[Row] = []
    start()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            if options.only not in (None, case.name):
                continue
            raw = Raw(case, 1 if case.name == "fashion-mnist" else cpu_count())
            with running(case, options.before) as servers:
                rows += closed_loop(case, servers, raw, options.seconds)
                rows += open_loop(case, servers, options.open_seconds)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
