"""`make bench-gpu`: what a GPU makes of every plan, and what of that the service keeps.

For the networks of the shipped models and a ResNet-50 with four submodels, all with random weights: every plan of the
compiler in float32 and float16, one network without masks, and four of those. Rows a second, at each batch size, of a
bare session, of the service's own session with its bound memory, of the same with CUDA graphs, and of the service's
batcher, to which requests come an eighth of a batch at a time. Without a GPU `--device cpu` runs the same code, which
is good for nothing but to see that it runs.

Files are exported first; where that is not possible, `--prepare FOLDER` does it elsewhere and `--prepared FOLDER` takes
them from there.
"""

import argparse
import asyncio
import json
import logging
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
from app.engine.scanned_version import ScannedVersion
from app.telemetry.metrics import Telemetry
from tests.bench.baseline import OUTPUTS

N = 4
NETWORKS = ("digits", "fashion-mnist", "resnet50")
PRECISIONS = ("float32", "float16")
PLANS = ("folded", "branches", "grouped", "single")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
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
    service: float
    ensemble: float | None
    """Of four networks one after the other, for the single one."""

    @property
    def share(self) -> float:
        """Of the bare session's throughput, what the service keeps."""
        return self.service / self.raw


def prepare(folder: Path, networks: list[str], device: str) -> None:
    """Exports every network in every precision and plan, each as a model of its own."""
    import torch

    from models.export import ExportOptions, export
    from models.export.compact import CannotGroup
    from models.export.plans import unmasked
    from models.networks.cnn import cnn
    from models.networks.mlp import mlp
    from models.networks.resnet import resnet

    made: dict[str, tuple[tuple[int, ...], int, Callable[[], Any]]] = {
        "digits": ((1, 8, 8), 10, lambda: mlp((1, 8, 8), 10, submodels=N)),
        "fashion-mnist": ((1, 28, 28), 10, lambda: cnn((1, 28, 28), 10, submodels=N)),
        "resnet50": ((3, 224, 224), 1000, lambda: resnet((3, 224, 224), 1000, submodels=N, depth=50)),
    }
    for name in networks:
        shape, classes, build = made[name]
        for precision in PRECISIONS:
            for plan in PLANS:
                torch.manual_seed(0)
                network = build()
                options = ExportOptions(
                    labels=[str(at) for at in range(classes)],
                    devices=(device,),  # type: ignore[arg-type]
                    precision=precision,  # type: ignore[arg-type]
                    plan=None if plan == "single" else plan,  # type: ignore[arg-type]
                )
                try:
                    export(
                        unmasked(network) if plan == "single" else network,
                        torch.rand(2, *shape),
                        options,
                        name=f"{name}.{plan}.{precision}",
                        repository=folder,
                    )
                except CannotGroup as error:
                    print(f"{name}, {plan}, {precision}: {error}")


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
    rows = inputs[: max(1, most // 8)]
    done = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await batcher.predict(model, rows, OUTPUTS, 60)
            done += len(rows)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    await batcher.close()
    return done / took


def measure(
    entry: ScannedVersion, contract: Contract, device: Device, batches: list[int], seconds: float, rows: list[Figures]
) -> None:
    """Adds the figures of one file, size by size."""
    content = entry.path.read_bytes()
    network, plan, precision = entry.name.split(".")
    given = contract.inputs[0]
    shape = [size for size in contract.sizes(given)[1:] if size is not None]
    inputs = np.random.default_rng(0).random((max(batches), *shape), dtype=np.float32)
    plain = bare(content, device)
    for batch in batches:
        x = inputs[:batch]
        session = IOBindingSession(content, device, contract, batch)
        if session.provider != PROVIDERS[device.name] or plain.get_providers()[0] != session.provider:
            raise SystemExit(f"error: {entry.name} runs on {plain.get_providers()[0]}, {session.provider}")
        graphs = None
        if device.name == "cuda":
            recorded = IOBindingSession(
                content, replace(device, cuda=replace(device.cuda, graphs=True)), contract, batch
            )
            graphs = throughput(partial(recorded.run, x, OUTPUTS), batch, seconds)
            for name, values in recorded.run(x, OUTPUTS).items():
                np.testing.assert_allclose(values, session.run(x, OUTPUTS)[name], atol=1e-5)
        ensemble = None
        if plan == "single":
            members = [bare(content, device) for _ in range(N)]

            def all_members(members: Any = members, x: Any = x) -> object:
                return [each.run(OUTPUTS, {given.name: x}) for each in members]

            ensemble = throughput(all_members, batch, seconds)
        model = Model(entry.name, entry.number, contract, [session])
        found = Figures(
            network, plan, precision, batch, session.provider,
            raw=throughput(partial(plain.run, OUTPUTS, {given.name: x}), batch, seconds),
            bound=throughput(partial(session.run, x, OUTPUTS), batch, seconds),
            graphs=graphs,
            service=asyncio.run(batched(model, inputs, batch, seconds)),
            ensemble=ensemble,
        )  # fmt: skip
        rows.append(found)
        print(f"{network:14} {plan:9} {precision:8} {batch:4}  {found.raw:9.0f} {found.bound:9.0f} "
              f"{found.graphs or 0:9.0f} {found.service:9.0f} {found.share:6.2f} {found.ensemble or 0:9.0f}  "
              f"{found.provider}", flush=True)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench-gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=0.5, help="of each figure")
    parser.add_argument("--json", type=Path, help="also write every row to this file")
    parser.add_argument("--prepare", type=Path, help="only export, into this folder")
    parser.add_argument("--prepared", type=Path, help="take the exports of this folder")
    options = parser.parse_args(arguments)
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    if options.prepare:
        prepare(options.prepare, options.networks, options.device)
        return
    device = choose(options.device, Cuda())
    print(f"onnxruntime {onnxruntime.__version__}, {device.name}: {device.reason}; rows a second")
    print("network        plan      precision batch      bare     bound    graphs   service  share  ensemble  provider")
    rows: list[Figures] = []
    with tempfile.TemporaryDirectory() as folder:
        repository = options.prepared or Path(folder)
        if options.prepared is None:
            prepare(repository, options.networks, options.device)
        scanner = RepositoryScanner(repository, device.name)
        for name, unverified in scanner.scan().items():
            scanner.verify(unverified)
            for entry in scanner.versions(name):
                if name.split(".")[0] not in options.networks:
                    continue
                if not isinstance(entry.declared, Contract):
                    print(f"{name}: {entry.rejected}")
                    continue
                try:
                    measure(entry, entry.declared, device, options.batches, options.seconds, rows)
                except Exception as error:  # memory that a size does not find must not cost what was measured
                    print(f"{name}: {error}")
                if options.json:
                    write(options.json, rows)


def write(path: Path, rows: list[Figures]) -> None:
    path.write_text(json.dumps({"rows": [{**asdict(row), "share": row.share} for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
