"""The plans of a network: the portable one that folds, and for a device the one that is cheapest there."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import onnx
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from app.contract.schema import Compilation, Contract
from models import artefact
from models.adopt import replace
from models.export import cost
from models.export.compact import Form, compact
from models.export.convert import convert
from models.export.cost import Choice, DeviceName, PlanName
from models.export.float16 import to_float16
from models.export.fold import fold
from models.export.held import CannotGroup
from models.export.nodes import masked_part
from models.export.options import ExportOptions
from models.export.served import Interface
from models.export.trace import trace
from models.given import Tensors, each
from models.layers import count, layers

_FORMS: tuple[Form, ...] = ("branches", "grouped")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DevicePlan:
    """The plan for one device in ONNX, and how it was compiled."""

    name: PlanName
    model: onnx.ModelProto
    compilation: Compilation


@dataclass(frozen=True)
class Plans:
    """All plans in ONNX: the portable one, and one for each device that gains by it."""

    folded: onnx.ModelProto
    compilation: Compilation
    devices: Mapping[DeviceName, DevicePlan]

    def embed(self, contract: Contract) -> Self:
        """Writes the contract and its temperatures into every file; returns them."""
        # the calibration has set the temperatures of this one already
        artefact.embed(self.folded, contract)
        for plan in self.devices.values():
            for head in contract.heads:
                if head.has_temperature:
                    artefact.set_temperature(plan.model, head, head.temperature)
            own = {"plan": plan.name, "compilation": plan.compilation}
            artefact.embed(plan.model, contract.model_copy(update=own))
        return self

    def by_name(self) -> dict[str, onnx.ModelProto]:
        """All plans, by the name that messages use."""
        beside = {f"{plan.name} for {device}": plan.model for device, plan in self.devices.items()}
        return {"folded": self.folded, **beside}

    def models(self) -> dict[str, onnx.ModelProto]:
        """All but the portable one, by device."""
        return {device: plan.model for device, plan in self.devices.items()}


def compile_plans(
    network: nn.Module, traced: Sequence[GraphModule], interface: Interface, options: ExportOptions
) -> Plans:
    """Makes the plans of an adopted network, temperatures 1.

    Args:
        traced: the graphs of the network, or of each member of a deep ensemble.

    Raises:
        ValueError: a forced plan cannot be made, or the requested precision changes nothing.
    """
    if len(traced) > 1:
        return _side_by_side(traced, interface, options)
    return _of_one(network, traced[0], interface, options)


def _of_one(network: nn.Module, traced: GraphModule, interface: Interface, options: ExportOptions) -> Plans:
    submodels, example, forced = count(network), interface.example(), options.plan
    graphs = _graphs(traced, submodels, forced)
    macs = {name: cost.macs(graph, example) for name, graph in graphs.items()}
    # without masks: what the network would cost as a single one
    single = cost.macs(trace(unmasked(network), example), example)
    choices = {} if options.tune else {device: _choose(graphs, example, device, forced) for device in options.devices}
    models: dict[PlanName, onnx.ModelProto] = {}
    # converting takes longest: without measuring, only the plans that were chosen
    for name in graphs if options.tune else sorted({"folded", *(choice.plan for choice in choices.values())}):
        body = to_float16(graphs[name], example) if options.precision == "float16" else graphs[name]
        models[name] = _convert(body, submodels, interface)
    if options.tune:
        feed = {name: rows.numpy() for name, rows in interface.rows.items()}
        choices = {device: cost.tune(models, feed, device) for device in options.devices}
    by: Literal["force", "measurement", "rule"] = "force" if forced else "measurement" if options.tune else "rule"
    devices: dict[DeviceName, DevicePlan] = {}
    for device, choice in choices.items():
        share = macs[choice.plan] / max(single, 1)  # a network may have no products at all
        _log.info(
            "plan for %s: %s, %s; %.2f of the multiply-accumulates of one dense pass",
            device,
            choice.plan,
            choice.reason,
            share,
        )
        if choice.plan != "folded":
            made = Compilation(
                device=device, chosen_by=by, reason=choice.reason, macs=macs[choice.plan], macs_single=single
            )
            # a copy, since two devices may choose the same plan and each file holds its own contract
            devices[device] = DevicePlan(choice.plan, copy.deepcopy(models[choice.plan]), made)
    why = "; ".join(f"{device}: {choice.plan}, {choice.reason}" for device, choice in choices.items())
    portable = Compilation(chosen_by=by, reason=why or None, macs=macs["folded"], macs_single=single)
    return Plans(models["folded"], portable, devices)


class _SideBySide(nn.Module):
    """The graphs of several networks: [B, …] → [N·B, …] of each head, submodel-major."""

    def __init__(self, graphs: Sequence[GraphModule]) -> None:
        super().__init__()
        self.graphs = nn.ModuleList(graphs)

    def forward(self, *inputs: Tensor) -> Tensors:
        found = [each(graph(*inputs)) for graph in self.graphs]
        heads = tuple(torch.cat(rows) for rows in zip(*found))
        return heads if len(heads) > 1 else heads[0]


def _side_by_side(traced: Sequence[GraphModule], interface: Interface, options: ExportOptions) -> Plans:
    """The one plan of a deep ensemble: every network runs whole."""
    example = interface.example()
    macs = [cost.macs(graph, example) for graph in traced]
    bodies = [to_float16(graph, example) for graph in traced] if options.precision == "float16" else traced
    model = _convert(_SideBySide(bodies), len(bodies), interface)
    reason = f"the {len(traced)} networks of a deep ensemble share nothing: each runs whole"
    _log.info("plan: %s; %.2f of the multiply-accumulates of one", reason, sum(macs) / max(macs[0], 1))
    return Plans(model, Compilation(reason=reason, macs=sum(macs), macs_single=macs[0]), {})


def _convert(body: nn.Module, submodels: int, interface: Interface) -> onnx.ModelProto:
    served = interface.around(body, submodels).eval()
    return convert(served, tuple(interface.rows.values()), interface.free)


def _graphs(traced: GraphModule, submodels: int, forced: PlanName | None) -> dict[PlanName, GraphModule]:
    """The graphs of all possible plans."""
    graphs: dict[PlanName, GraphModule] = {}
    if masked_part(traced):
        for form in _FORMS:
            try:
                graphs[form] = compact(traced, submodels, form)
            except CannotGroup as error:
                if forced == form:
                    raise
                _log.info("compact: no plan %s: %s", form, error)
    folded = fold(traced, submodels)
    _log.info("fold: %d of %d operations run once for all %d submodels", folded.shared, folded.operations, submodels)
    return {"folded": folded.graph, **graphs}


def _choose(
    graphs: Mapping[PlanName, GraphModule], example: Tensors, device: DeviceName, forced: PlanName | None
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
