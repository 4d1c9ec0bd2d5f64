"""`make bench-gpu`: what a GPU makes of every plan, and what of that the service keeps.

For the networks of the shipped models and a ResNet-50 with four submodels, all with random weights: every plan of the
compiler in float32 and float16, one network without masks, and four of those. Rows a second, at each batch size, of a
bare session, of the service's own session with its bound memory, of the same with CUDA graphs or with TF32, and of the
service's batcher, to which requests come an eighth of a batch at a time; and what a change of the batch size costs.
Without a GPU `--device cpu` runs the same code, which is good for nothing but to see that it runs.

Files are exported first; where that is not possible, `--prepare FOLDER` does it elsewhere and `--prepared FOLDER` takes
them from there. `--packed FOLDER` takes those of `tests.gpu.exports`. What matters most is measured first, and
`--until SECONDS` leaves out what would begin later.
"""

import argparse
import asyncio
import logging
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.contract.schema import Contract
from app.engine.batcher import Batcher
from app.engine.device import PROVIDERS, Cuda, Device, choose
from app.engine.io_binding import IOBindingSession
from app.engine.model import Model
from app.engine.queue import Queue
from app.engine.repository import RepositoryScanner
from app.engine.row_shapes import Feeds
from app.engine.scanned_version import ScannedVersion
from app.telemetry.metrics import Telemetry
from tests.bench.baseline import OUTPUTS
from tests.gpu import exports
from tests.gpu.figures import write_json

N = 4
NETWORKS = ("digits", "fashion-mnist", "resnet50")
PRECISIONS = ("float32", "float16")
PLANS = ("folded", "branches", "grouped", "single")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ORDER = (
    ("folded", "float32"), ("single", "float32"), ("grouped", "float32"), ("folded", "float16"), ("single", "float16"),
    ("branches", "float32"), ("grouped", "float16"), ("branches", "float16"),
)  # fmt: skip
"""Plans and precisions, what matters most first."""
AT_ONCE = 32
"""Requests under way at the same time."""


@dataclass(frozen=True)
class Figures:
    """Rows a second of one file at one batch size; None where there is nothing to measure."""

    network: str
    plan: str
    precision: str
    batch: int
    provider: str
    raw: float
    bound: float
    graphs: float | None
    tf32: float | None
    change: float
    """Seconds that a batch of this size costs more after one of half the size than after one of its own."""
    service: float
    ensemble: float | None
    """Of four networks one after the other, for the single one."""

    @property
    def share(self) -> float:
        """Of the bare session's throughput, what the service keeps."""
        return self.service / self.raw


def names(networks: list[str]) -> list[str]:
    """The exports of networks, what matters most first."""
    return [f"{network}.{plan}.{precision}" for network in networks for plan, precision in ORDER]


def prepare(folder: Path, name: str, device: str) -> None:
    """Exports a network in one plan and precision as a model of its own, or says why it has no such plan."""
    import torch

    from models.export import ExportOptions, export
    from models.export.held import CannotGroup
    from models.export.plans import unmasked
    from models.networks.cnn import cnn
    from models.networks.mlp import mlp
    from models.networks.resnet import resnet

    made: dict[str, tuple[tuple[int, ...], int, Callable[[], Any]]] = {
        "digits": ((1, 8, 8), 10, lambda: mlp((1, 8, 8), 10, submodels=N)),
        "fashion-mnist": ((1, 28, 28), 10, lambda: cnn((1, 28, 28), 10, submodels=N)),
        "resnet50": ((3, 224, 224), 1000, lambda: resnet((3, 224, 224), 1000, submodels=N, depth=50)),
    }
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    of, plan, precision = name.split(".")
    shape, classes, build = made[of]
    torch.manual_seed(0)
    network = build()
    options = ExportOptions(
        labels=[str(at) for at in range(classes)],
        devices=(device,),  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        plan=None if plan == "single" else plan,  # type: ignore[arg-type]
    )
    whole = unmasked(network) if plan == "single" else network
    try:
        export(whole, torch.rand(2, *shape), options, name=name, repository=folder)
    except CannotGroup as error:
        print(f"{name}: {error}")


def throughput(run: Callable[[], object], rows: int, seconds: float) -> float:
    """Rows a second, after three runs that do not count."""
    for _ in range(3):
        run()
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        run()
        done += rows
    return done / took


def bare(content: bytes, device: Device) -> onnxruntime.InferenceSession:
    """A session as anybody would open it, with the options that the service takes."""
    providers: list[Any] = [PROVIDERS["cpu"]]
    if device.name == "cuda":
        providers.insert(0, (PROVIDERS["cuda"], device.cuda.provider_options(0)))
    return onnxruntime.InferenceSession(content, providers=providers)


async def batched(model: Model, inputs: NDArray[Any], most: int, seconds: float) -> float:
    """Rows a second through queue and batcher, in requests of an eighth of a batch."""
    batcher = Batcher(Queue(100_000, most), 1, Telemetry())
    batcher.start()
    count = max(1, most // 8)
    rows = {model.contract.given.name: inputs[:count]}
    done = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await batcher.predict(model, rows, OUTPUTS, 60)
            done += count

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    await batcher.close()
    return done / took


class Report:
    """What was measured, written to a file as it comes.

    Args:
        path: the file, if any.
    """

    def __init__(self, path: Path | None) -> None:
        self.rows: list[Figures] = []
        self.files: list[dict[str, Any]] = []
        """Of each file: its name, bytes, and the seconds that loading takes, with graphs, too."""
        self.failures: list[str] = []
        self.left_out: list[str] = []
        """What there was no time for."""
        self._path = path

    def write(self) -> None:
        if self._path is not None:
            rows = [{**asdict(row), "share": row.share} for row in self.rows]
            content = {"rows": rows, "files": self.files, "failures": self.failures, "left_out": self.left_out}
            write_json(self._path, content)

    def fail(self, says: str) -> None:
        print(says, flush=True)
        self.failures.append(says)
        self.write()


class Opened:
    """The sessions of one file, each opened once for all batch sizes.

    Args:
        most: the largest batch.
    """

    def __init__(self, entry: ScannedVersion, contract: Contract, device: Device, most: int, report: Report) -> None:
        self.entry, self.contract, self.device = entry, contract, device
        self.content = entry.path.read_bytes()
        began = time.perf_counter()
        self.bound = IOBindingSession(self.content, device, contract, most)
        self.model = Model(entry.name, entry.number, contract, [self.bound])
        took = {"load": time.perf_counter() - began}
        self.plain = bare(self.content, device)
        if self.bound.provider != PROVIDERS[device.name] or self.plain.get_providers()[0] != self.bound.provider:
            raise SystemExit(f"error: {entry.name} runs on {self.plain.get_providers()[0]}, {self.bound.provider}")
        self.graphs = self.tf32 = None
        if device.name == "cuda":
            began = time.perf_counter()
            try:
                self.graphs = self._with(replace(device.cuda, graphs=True), most)
            except Exception as error:
                report.fail(f"{entry.name}: with CUDA graphs: {error}")
            took["load with graphs"] = time.perf_counter() - began
            self.tf32 = self._with(replace(device.cuda, tf32=True), most)
        report.files.append({"name": entry.name, "bytes": len(self.content), **took})

    def _with(self, cuda: Cuda, most: int) -> IOBindingSession:
        session = IOBindingSession(self.content, replace(self.device, cuda=cuda), self.contract, most)
        Model(self.entry.name, self.entry.number, self.contract, [session])  # runs every size once
        return session


def measure(opened: Opened, inputs: NDArray[Any], batch: int, seconds: float, report: Report) -> None:
    """Adds the figures of one file at one batch size."""
    network, plan, precision = opened.entry.name.split(".")
    x = {opened.contract.given.name: inputs[:batch]}
    ensemble = None
    if plan == "single":
        members = [bare(opened.content, opened.device) for _ in range(N)]
        ensemble = throughput(lambda: [each.run(OUTPUTS, x) for each in members], batch, seconds)
    if opened.graphs is not None:
        for name, values in opened.graphs.run(x, OUTPUTS).items():
            if not np.allclose(values, opened.bound.run(x, OUTPUTS)[name], atol=1e-5):
                report.fail(f"{opened.entry.name}: {name} differs with CUDA graphs at batch size {batch}")
    bound = throughput(partial(opened.bound.run, x, OUTPUTS), batch, seconds)
    found = Figures(
        network, plan, precision, batch, opened.bound.provider,
        raw=throughput(partial(opened.plain.run, OUTPUTS, x), batch, seconds),
        bound=bound,
        graphs=None if opened.graphs is None else throughput(partial(opened.graphs.run, x, OUTPUTS), batch, seconds),
        tf32=None if opened.tf32 is None else throughput(partial(opened.tf32.run, x, OUTPUTS), batch, seconds),
        change=change(opened.bound, x, bound, seconds),
        service=asyncio.run(batched(opened.model, inputs, batch, seconds)),
        ensemble=ensemble,
    )  # fmt: skip
    report.rows.append(found)
    report.write()
    print(f"{network:14} {plan:9} {precision:8} {batch:4}  {found.raw:9.0f} {found.bound:9.0f} "
          f"{found.graphs or 0:9.0f} {found.tf32 or 0:9.0f} {found.service:9.0f} {found.share:6.2f} "
          f"{found.ensemble or 0:9.0f} {1000 * found.change:8.2f}  {found.provider}", flush=True)  # fmt: skip


def change(session: IOBindingSession, x: Feeds, bound: float, seconds: float) -> float:
    """Seconds that a batch costs more after one of half its size, than at the rate of `bound` rows a second."""
    ((name, values),) = x.items()
    half, took, runs = {name: values[: len(values) // 2]}, 0.0, 0
    if len(values) == 1:
        return 0.0
    while took < seconds / 2:
        session.run(half, OUTPUTS)
        began = time.perf_counter()
        session.run(x, OUTPUTS)
        took += time.perf_counter() - began
        runs += 1
    return took / runs - len(values) / bound


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where something failed."""
    parser = argparse.ArgumentParser(prog="make bench-gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=0.5, help="of each figure")
    parser.add_argument("--until", type=float, default=math.inf, help="seconds from now after which nothing is begun")
    parser.add_argument("--json", type=Path, help="also write every row to this file")
    parser.add_argument("--prepare", type=Path, help="only export, into this folder")
    parser.add_argument("--prepared", type=Path, help="take the exports of this folder")
    parser.add_argument("--packed", type=Path, help="take the packed exports of this folder")
    options = parser.parse_args(arguments)
    end = time.monotonic() + options.until
    if options.prepare:
        for name in names(options.networks):
            prepare(options.prepare, name, options.device)
        return 0
    device, report = choose(options.device, Cuda()), Report(options.json)
    print(f"onnxruntime {onnxruntime.__version__}, {device.name}: {device.reason}; rows a second, a change in ms")
    print("network        plan      precision batch      bare     bound    graphs      tf32   service  share  ensemble"
          "   change  provider")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        repository = options.prepared or Path(folder)
        for name in names(options.networks):
            try:
                _measure_file(name, repository, device, options, end, report)
            except Exception as error:  # memory that a size does not find must not cost what was measured
                report.fail(f"{name}: {' '.join(str(error).split())[:500]}")
    report.write()
    return 1 if report.failures or not report.rows else 0


def _measure_file(
    name: str, repository: Path, device: Device, options: argparse.Namespace, end: float, report: Report
) -> None:
    """Measures an export at every batch size, as long as there is time."""
    if time.monotonic() > end:
        report.left_out.append(name)
        return
    if options.packed is not None:
        if name not in exports.names(options.packed):
            return  # a plan that the network does not have
        exports.unpack(options.packed, name, repository)
    elif options.prepared is None:
        prepare(repository, name, device.name)
    scanner = RepositoryScanner(repository, device.name)
    if not (found := scanner.scan(only=name).get(name)):
        return
    scanner.verify(found)
    entry = scanner.versions(name)[-1]
    if not isinstance(entry.declared, Contract):
        report.fail(f"{name}: {entry.rejected}")
        return
    most = max(options.batches)
    shape = entry.declared.row_sizes(entry.declared.given, "least")
    inputs = np.random.default_rng(0).random((most, *shape), dtype=np.float32)
    opened = Opened(entry, entry.declared, device, most, report)
    for batch in options.batches:
        if time.monotonic() > end:
            report.left_out.append(f"{name} at batch size {batch}")
        else:
            measure(opened, inputs, batch, options.seconds, report)
    if options.prepared is None:
        shutil.rmtree(entry.path.parents[1])


if __name__ == "__main__":
    sys.exit(main())
