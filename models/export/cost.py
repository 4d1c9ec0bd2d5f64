"""Chooses the plan for a device: by a fixed rule over the operations of each plan, or by measuring where asked to.

For every operation, the rule adds up the multiply-accumulates at the device's rate, the bytes at its bandwidth, and
the time to start it. Its constants for `cpu` describe onnxruntime on two cores with AVX-512 and were checked against
measurements (`make bench-model`); those for `cuda` are the data-sheet figures of a large GPU, not measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Interpreter, Node
from torch.utils.flop_counter import FlopCounterMode

from models import runtime
from models.export.nodes import arguments
from models.export.operation import CONVOLUTIONS
from models.given import Tensors, rows_of

DeviceName = Literal["cpu", "cuda"]
PlanName = Literal["folded", "branches", "grouped"]

_BATCHES = (16, 64)
"""Batch sizes at which a compact plan must be at least 5 % faster than the folded one."""
_GAIN = 0.95
_ALONE = 1.15
"""How much longer than the folded plan it may take at batch size 1."""
_ROUNDS = 7

_aten = torch.ops.aten
_FUSED = {_aten.batch_norm, _aten.relu, _aten.add, _aten.view, _aten.reshape, _aten.unsqueeze, _aten.flatten}
"""Fused with the convolution or product before them, or a mere view of a tensor."""


@dataclass(frozen=True)
class _Device:
    macs: float
    """Multiply-accumulates per microsecond."""
    grouped: float
    """The share of that rate that a grouped convolution reaches."""
    unaligned: float
    """The share of that rate that a convolution reaches if its input channels are not a multiple of 16."""
    bytes: float
    """Bytes read or written per microsecond."""
    start: float
    """Microseconds to start an operation."""


_DEVICES: dict[DeviceName, _Device] = {
    "cpu": _Device(macs=80_000, grouped=0.85, unaligned=0.8, bytes=8_000, start=2),
    "cuda": _Device(macs=30_000_000, grouped=0.5, unaligned=0.8, bytes=3_000_000, start=6),
}


@dataclass(frozen=True)
class _Work:
    """What an operation does on one row."""

    packet: Any
    macs: int
    bytes: int
    grouped: bool
    aligned: bool


@dataclass(frozen=True)
class Choice:
    """The name of the chosen plan, and why it was chosen."""

    plan: PlanName
    reason: str


def choose(graphs: Mapping[PlanName, GraphModule], example: Tensors, device: DeviceName) -> Choice:
    """The cheapest plan by the rule; `folded` unless another gains at every batch size that counts.

    Args:
        graphs: the plans by name, `folded` among them.
        example: an input [B, …] of the graphs, or all of them in order.
    """
    works = {name: _works(graph, example) for name, graph in graphs.items()}
    cost = {
        name: {batch: _microseconds(work, batch, _DEVICES[device]) for batch in (1, *_BATCHES)}
        for name, work in works.items()
    }
    return _cheapest(cost, "estimated")


def tune(models: Mapping[PlanName, onnx.ModelProto], inputs: Mapping[str, NDArray[Any]], device: DeviceName) -> Choice:
    """The plan that is fastest in onnxruntime on this machine's device, for inputs by name; the plans take turns.

    Raises:
        ValueError: this machine's onnxruntime cannot run on the device.
    """
    sessions = {name: runtime.session(model, device) for name, model in models.items()}
    cost: dict[PlanName, dict[int, float]] = {name: {} for name in sessions}
    # one batch size after the other, the plans taking turns: a slow second hits all of them
    for batch in (1, *_BATCHES):
        rows = {name: np.resize(array, (batch, *array.shape[1:])) for name, array in inputs.items()}
        for name, times in runtime.race(sessions, rows, _ROUNDS).items():
            # the least, not the mean: whatever disturbs a run makes it slower
            cost[name][batch] = min(times) * 1e6
    return _cheapest(cost, "measured")


def macs(graph: GraphModule, example: Tensors) -> int:
    """Multiply-accumulates of convolutions and products for one row."""
    return sum(work.macs for work in _works(graph, example))


def _cheapest(cost: Mapping[PlanName, Mapping[int, float]], how: str) -> Choice:
    folded = cost["folded"]
    ratios = {
        name: ", ".join(f"{times[batch] / folded[batch]:.2f} at batch {batch}" for batch in folded)
        for name, times in cost.items()
    }
    gaining = [
        name
        for name, times in cost.items()
        if all(times[batch] <= folded[batch] * (_ALONE if batch == 1 else _GAIN) for batch in folded)
    ]
    if gaining:
        best = min(gaining, key=lambda name: cost[name][_BATCHES[0]])
        return Choice(best, f"{how} at {ratios[best]} of the folded plan's time")
    best = min(cost, key=lambda name: cost[name][_BATCHES[0]])
    if best == "folded":
        return Choice("folded", f"no other plan is {how} to be faster at batch {_BATCHES[0]}")
    return Choice("folded", f"{best} gains too little, {how} at {ratios[best]} of the folded plan's time")


def _microseconds(works: Sequence[_Work], batch: int, device: _Device) -> float:
    total = 0.0
    for work in works:
        if work.macs:
            share = (device.grouped if work.grouped else 1) * (1 if work.aligned else device.unaligned)
            total += device.start + batch * work.macs / (device.macs * share)
        elif work.packet not in _FUSED:
            total += device.start + batch * work.bytes / device.bytes
    return total


def _works(graph: GraphModule, example: Tensors) -> Sequence[_Work]:
    """What every operation does on one row."""
    # shapes alone, nothing is computed: the graph's own weights are real tensors
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        meter = _Meter(graph)
        meter.run(*map(mode.from_tensor, rows_of(example, slice(1))))
    return meter.works


class _Meter(Interpreter):
    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.works: list[_Work] = []

    def run_node(self, node: Node) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = super().run_node(node)
        # a recurrent layer gives several
        results = [value for value in (result if isinstance(result, tuple) else [result]) if isinstance(value, Tensor)]
        if node.op == "call_function" and results:
            packet = getattr(node.target, "overloadpacket", None)
            groups = arguments(node).get("groups", 1) if packet in CONVOLUTIONS else 1
            given = [self.env[x] for x in node.all_input_nodes if isinstance(self.env.get(x), Tensor)]
            self.works.append(
                _Work(
                    packet=packet,
                    macs=counter.get_total_flops() // 2,  # torch counts a multiplication and an addition
                    bytes=sum(value.numel() * value.element_size() for value in results) * 2,  # read once, written once
                    grouped=groups != 1,
                    aligned=not given or given[0].ndim < 3 or _aligned(given[0], packet in CONVOLUTIONS, groups),
                )
            )
        return result


def _aligned(x: Tensor, convolution: bool, groups: int) -> bool:
    """Whether what each value of a result is summed over fills whole blocks, or less than one."""
    # of the input, whose channels are on axis 1: those of a transposed convolution's weight are on another axis
    width = x.shape[1] // groups if convolution else x.shape[-1]
    return width < 16 or width % 16 == 0
