"""`make bench-model`: what N submodels cost beside one dense pass, in onnxruntime, without HTTP.

For each network, in one run and taking turns: one dense pass (the network without masks), tiled at the input (what
everybody does), folded at the first mask, compact (the plan of this device), and N separate networks (a deep ensemble).
`make bench-model JSON=file` also writes the rows to a file.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from app.contract.axis import FreeAxis
from app.contract.head import Head
from app.contract.tasks import classification
from app.engine.device import missing_for_cuda
from models import runtime
from models.adopt import adopt
from models.export import cost
from models.export.axes import dims
from models.export.compact import Form, compact
from models.export.convert import convert
from models.export.cost import DeviceName, PlanName
from models.export.fold import fold
from models.export.nodes import results, shape
from models.export.plans import unmasked
from models.export.preprocess import Preprocess
from models.export.served import Served
from models.export.trace import trace
from models.layers import Masksembles1d, Masksembles2d
from models.networks.cnn import cnn
from models.networks.mlp import mlp
from models.networks.resnet import resnet
from models.networks.unet import unet
from models.networks.wide_resnet import wide_resnet

N = 4
HALVES = 2.19
"""The scale at which masks keep half of the channels, a multiple of 16: what S = 2 becomes by alignment."""
_AXIS = FreeAxis(least=8, most=512, multiple_of=8)
VARIANTS = ("dense", "tiled", "folded", "compact", "ensemble")
SECONDS = 25.0


@dataclass(frozen=True)
class Case:
    name: str
    masks: str
    shape: tuple[int, ...]
    build: Callable[[], nn.Module]
    batches: tuple[int, ...] = (1, 16, 64)
    free: bool = False
    """Whether height and width are axes of free size."""
    grid: tuple[int | str, ...] = ()
    """Of a dense head."""


_SMALL, _LARGE = (3, 32, 32), (3, 224, 224)
_resnet18 = partial(resnet, _SMALL, 10, submodels=N, align=16)
_unet = partial(unet, (3, 64, 64), 11, submodels=N)
CASES = {
    "resnet18-inside": Case(
        "ResNet-18, 32×32", "S = 2, aligned, inside every block", _SMALL,
        partial(_resnet18, scale=HALVES, placement="inside"),
    ),
    "resnet18-paper": Case("ResNet-18, 32×32", "S = 2, aligned, paper's", _SMALL, partial(_resnet18, scale=HALVES)),
    "resnet18-paper-3": Case("ResNet-18, 32×32", "S = 3, aligned, paper's", _SMALL, partial(_resnet18, scale=3.0)),
    "wide-resnet": Case(
        "WRN-16-4, 32×32", "S = 2, aligned, paper's", _SMALL,
        partial(wide_resnet, _SMALL, 10, submodels=N, scale=HALVES, align=16),
    ),
    "resnet50": Case(
        "ResNet-50, 224×224", "S = 2, aligned, from layer3", _LARGE,
        partial(resnet, _LARGE, 1000, submodels=N, scale=HALVES, align=16, depth=50), (1, 8, 16, 64),
    ),
    "fashion-mnist": Case(
        "Fashion-MNIST as shipped", "S = 2, aligned", (1, 28, 28), partial(cnn, (1, 28, 28), 10, submodels=N, align=16)
    ),
    "mlp": Case(
        "MLP 784-1024-1024-10", "S = 2, after both hidden layers", (784,),
        partial(mlp, (784,), 10, submodels=N, hidden=(1024, 1024)),
    ),
    "unet": Case(
        "U-Net, 64×64 cells", "S = 2, aligned, after every convolution", (3, 64, 64),
        _unet, (1, 8, 16), grid=(64, 64),
    ),
    "unet-free": Case(
        "U-Net, 64×64 cells, of any size", "S = 2, aligned, after every convolution", (3, 64, 64),
        _unet, (1, 8, 16), free=True, grid=("H", "W"),
    ),
}  # fmt: skip


class Tiled(nn.Module):
    """A mask of ones on the input makes the fold begin there, as a client who repeats its rows would."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        kind = Masksembles1d if len(shape) == 1 else Masksembles2d
        self.everything = kind.from_masks(torch.ones(N, shape[0]), 1.0)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.everything(x))


def models(case: Case, device: DeviceName) -> tuple[dict[str, onnx.ModelProto], dict[str, int], str]:
    """The variants but the ensemble, the multiply-accumulates of each a row, and the plan that was chosen."""
    torch.manual_seed(0)
    network = adopt(case.build())
    example = torch.rand(2, *case.shape)
    free = dims([(*case.shape[:1], "H", "W")], {"H": _AXIS, "W": _AXIS}) if case.free else ()
    traced = trace(network, example, free)
    forms: tuple[Form, ...] = ("branches", "grouped")
    graphs: dict[PlanName, GraphModule] = {form: compact(traced, N, form) for form in forms}
    folded = fold(traced, N).graph
    tiled = fold(trace(Tiled(network, case.shape), example, free), N).graph
    chosen = cost.choose({"folded": folded, **graphs}, example, device)
    compacted = graphs.get(chosen.plan, folded)
    variants = {
        "dense": (trace(unmasked(network), example, free), 1),
        "tiled": (tiled, N),
        "folded": (folded, N),
        "compact": (compacted, N),
    }
    operations = {name: cost.macs(graph, example) for name, (graph, _) in variants.items()}
    operations["ensemble"] = N * operations["dense"]
    made = {}
    labels = tuple(map(str, range(shape(results(traced)[0])[1])))
    head = Head(labels=labels, grid=case.grid, outputs=classification.outputs(case.grid))
    for name, (graph, submodels) in variants.items():
        served = Served(graph, submodels, Preprocess(None, example.shape), [head])
        made[name] = convert(served.eval(), example, free)
    return made, operations, chosen.plan


class Ensemble:
    """N separate networks, one after the other, behind the face of a session."""

    def __init__(self, model: onnx.ModelProto, device: DeviceName) -> None:
        self.members = [runtime.session(model, device) for _ in range(N)]

    def get_inputs(self) -> list[onnxruntime.NodeArg]:
        return self.members[0].get_inputs()

    def get_outputs(self) -> list[onnxruntime.NodeArg]:
        return self.members[0].get_outputs()

    def run(self, outputs: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [member.run(outputs, feed) for member in self.members][-1]


def peak(path: Path, copies: int, device: DeviceName, shape: tuple[int, ...]) -> float:
    """Megabytes of memory that a process of its own needs to load a file and answer a batch."""
    command = [sys.executable, "-m", "tests.bench.peak", str(path), str(copies), device, *map(str, shape)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def bench(case: Case, device: DeviceName, folder: Path) -> list[dict[str, object]]:
    made, operations, plan = models(case, device)
    sessions = {name: runtime.session(model, device) for name, model in made.items()}
    sessions["ensemble"] = Ensemble(made["dense"], device)
    print(f"\n{case.name}, masks {case.masks}, plan {plan}")
    print(f"{'':10}" + "".join(f"{name:>17}" for name in VARIANTS))
    rows: list[dict[str, object]] = []
    for batch in case.batches:
        x = np.random.default_rng(0).random((batch, *case.shape), np.float32)
        first = runtime.race(sessions, x, 1)
        rounds = int(np.clip(SECONDS / sum(max(times[0], 0.02) for times in first.values()), 3, 25))
        times = {name: min(values) for name, values in runtime.race(sessions, x, rounds).items()}
        ratios = {name: times[name] / times["dense"] for name in VARIANTS}
        print(f"batch {batch:<4}" + "".join(f"{times[v] * 1e3:9.2f} ({ratios[v]:.2f}×)" for v in VARIANTS), flush=True)
        rows += [
            {
                "network": case.name,
                "masks": case.masks,
                "batch": batch,
                "variant": name,
                "milliseconds": round(times[name] * 1e3, 4),
                "ratio": round(ratios[name], 4),
            }
            for name in VARIANTS
        ]
    del sessions
    files, members = {}, dict.fromkeys(VARIANTS, 1) | {"ensemble": N}
    for name, model in made.items():
        files[name] = folder / f"{name}.onnx"
        files[name].write_bytes(model.SerializeToString())
    files["ensemble"] = files["dense"]
    size = {name: files[name].stat().st_size * members[name] / 1e6 for name in VARIANTS}
    memory = {name: peak(files[name], members[name], device, (case.batches[-1], *case.shape)) for name in VARIANTS}
    print(
        "MMAC a row"
        + "".join(f"{operations[v] / 1e6:10.1f} ({operations[v] / operations['dense']:.2f}×)" for v in VARIANTS)
    )
    print("file, MB  " + "".join(f"{size[v]:17.1f}" for v in VARIANTS))
    print("peak, MB  " + "".join(f"{memory[v]:17.0f}" for v in VARIANTS), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-model", description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=CASES, nargs="*", default=list(CASES))
    options = parser.parse_args()
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    device: DeviceName = "cpu" if missing_for_cuda() else "cuda"
    threads = len(os.sched_getaffinity(0))
    print(f"onnxruntime {onnxruntime.__version__} on {device}, {threads} cores, N = {N}; milliseconds (ratio to dense)")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            rows += bench(CASES[name], device, Path(folder))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
