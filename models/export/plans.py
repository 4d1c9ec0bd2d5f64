"""The plans of a network: the portable one that folds, and for a device the one that is cheapest there."""

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from app.contract.schema import Compilation
from models.adopt import replace
from models.export import cost
from models.export.channels import masked_part
from models.export.compact import CannotGroup, Form, compact
from models.export.convert import convert
from models.export.cost import Choice, DeviceName, PlanName
from models.export.float16 import to_float16
from models.export.fold import fold
from models.export.head import Head, Preprocess
from models.export.trace import trace
from models.layers import count, layers

Precision = Literal["float32", "float16"]
MakeHead = Callable[[nn.Module, int, nn.Module], Head]
"""From the body of a graph, the number of submodels and `Preprocess`."""

_FORMS: tuple[Form, ...] = ("branches", "grouped")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plans:
    """The plans in ONNX, temperature 1: the portable one, and by device the one there and how it came to be."""

    folded: onnx.ModelProto
    compilation: Compilation
    devices: Mapping[DeviceName, tuple[PlanName, onnx.ModelProto, Compilation]]


def make(
    network: nn.Module,
    traced: GraphModule,
    natural: Preprocess,
    rows: Tensor,
    *,
    head: MakeHead,
    devices: Sequence[DeviceName],
    forced: PlanName | None,
    tune: bool,
    precision: Precision,
) -> Plans:
    """Makes the plans of an adopted network; the traced graph is used up.

    Args:
        rows: inputs in natural units.
        devices, forced, tune, precision: see `models.export.export`.

    Raises:
        ValueError: a plan is forced that cannot be made, or a precision asked for that gains nothing.
    """
    submodels, example = count(network), natural(rows[:2])
    graphs = _graphs(traced, submodels, forced)
    macs = {name: cost.macs(graph, example) for name, graph in graphs.items()}
    single = cost.macs(trace(unmasked(network), example), example)
    choices = {} if tune else {device: _choose(graphs, example, device, forced) for device in devices}
    models: dict[PlanName, onnx.ModelProto] = {}
    for name in graphs if tune else sorted({"folded", *(choice.plan for choice in choices.values())}):
        if precision == "float16":
            to_float16(graphs[name], example)
        models[name] = convert(head(graphs[name], submodels, natural).eval(), rows)
    if tune:
        choices = {device: cost.tune(models, rows.numpy(), device) for device in devices}
    by: Literal["force", "measurement", "rule"] = "force" if forced else "measurement" if tune else "rule"
    planned: dict[DeviceName, tuple[PlanName, onnx.ModelProto, Compilation]] = {}
    for device, choice in choices.items():
        _log.info(
            "plan for %s: %s, %s; %.2f of the multiply-accumulates of one dense pass",
            device,
            choice.plan,
            choice.reason,
            macs[choice.plan] / max(single, 1),
        )
        if choice.plan != "folded":
            made = Compilation(
                device=device, chosen_by=by, reason=choice.reason, macs=macs[choice.plan], macs_single=single
            )
            planned[device] = (choice.plan, copy.deepcopy(models[choice.plan]), made)
    why = "; ".join(f"{device}: {choice.plan}, {choice.reason}" for device, choice in choices.items())
    portable = Compilation(chosen_by=by, reason=why or None, macs=macs["folded"], macs_single=single)
    return Plans(models["folded"], portable, planned)


class _Beside(nn.Module):
    """The graphs of several networks, one beside the other: [B, …] → [N·B, K], submodel-major."""

    def __init__(self, graphs: Sequence[GraphModule]) -> None:
        super().__init__()
        self.graphs = nn.ModuleList(graphs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([graph(x) for graph in self.graphs])


def beside(
    traced: Sequence[GraphModule], natural: Preprocess, rows: Tensor, *, head: MakeHead, precision: Precision
) -> Plans:
    """The one plan of a deep ensemble: every network runs whole. The traced graphs are used up.

    Raises:
        ValueError: a precision is asked for that gains nothing.
    """
    example = natural(rows[:2])
    macs = [cost.macs(graph, example) for graph in traced]
    if precision == "float16":
        for graph in traced:
            to_float16(graph, example)
    model = convert(head(_Beside(traced), len(traced), natural).eval(), rows)
    reason = f"the {len(traced)} networks of a deep ensemble share nothing: each runs whole"
    _log.info("plan: %s; %.2f of the multiply-accumulates of one", reason, sum(macs) / max(macs[0], 1))
    return Plans(model, Compilation(reason=reason, macs=sum(macs), macs_single=macs[0]), {})


def _graphs(traced: GraphModule, submodels: int, forced: PlanName | None) -> dict[PlanName, GraphModule]:
    """The graphs of all plans there can be; the traced one becomes the folded one."""
    graphs: dict[PlanName, GraphModule] = {}
    if masked_part(traced):
        for form in _FORMS:
            try:
                graphs[form] = compact(traced, submodels, form)
            except CannotGroup as error:
                if forced == form:
                    raise
                _log.info("compact: no plan %s: %s", form, error)
    shared, operations = fold(traced, submodels)
    _log.info("fold: %d of %d operations run once for all %d submodels", shared, operations, submodels)
    return {"folded": traced, **graphs}


def _choose(
    graphs: Mapping[PlanName, GraphModule], example: Tensor, device: DeviceName, forced: PlanName | None
) -> Choice:
    if forced is None:
        return cost.choose(graphs, example, device)
    if forced not in graphs:
        raise ValueError(f"plan: {forced} needs masks, and the network has none")
    return Choice(forced, "forced")


def unmasked(network: nn.Module) -> nn.Module:
    """A copy of an adopted network without its masks: what one dense pass computes."""
    single = copy.deepcopy(network)
    replace(single, {layer: nn.Identity() for layer in layers(single).values()})
    return single
