"""Holds every plan of a network against the plain loop over its masks, in torch and in onnxruntime."""

import copy
from collections.abc import Sequence
from itertools import product

import onnx
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from models import runtime
from models.adopt import adopt
from models.export import cost
from models.export.axes import Dims
from models.export.compact import compact
from models.export.convert import convert
from models.export.cost import PlanName
from models.export.fast_path import no_fast_path
from models.export.fold import fold
from models.export.held import CannotGroup
from models.export.row_independence import check_independence
from models.export.served import Served
from models.export.trace import trace
from models.layers import count, submodels

BATCHES = (1, 2, 7)


class Raw(Served):
    """No head: what the body gives, [N·B, …]."""

    def __init__(self, body: nn.Module, submodels: int, preprocess: nn.Module) -> None:
        super().__init__(body, submodels, preprocess)
        self.outputs = ("raw",)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return (self.body(self.preprocess(*inputs)),)


def to_onnx(graph: GraphModule, submodels: int, rows: Tensor, free: Dims | None = None) -> onnx.ModelProto:
    return convert(Raw(graph, submodels, nn.Identity()).eval(), rows, [free] if free else ())


@no_fast_path()
def plans(
    network: nn.Module,
    rows: Tensor,
    *,
    onnx_of: Sequence[PlanName] = (),
    free: Dims | None = None,
    others: Sequence[Tensor] = (),
) -> dict[PlanName, GraphModule]:
    """The graphs of all plans that there are, each of which agrees with the loop for any number of rows.

    Args:
        rows: at least 7 rows; those of integers are taken as they are.
        onnx_of: the plans to hold against the loop in onnxruntime, too.
        free: axes of free size.
        others: 7 rows each, of other sizes along them.
    """
    network = adopt(shaken(network))
    traced, number = trace(network, rows, [free] if free else ()), count(network)
    check_independence(traced, rows[:3])
    graphs: dict[PlanName, GraphModule] = {"folded": fold(traced, number).graph}
    graphs["branches"] = compact(traced, number, "branches")
    try:
        graphs["grouped"] = compact(traced, number, "grouped")
    except CannotGroup as error:
        assert "group" in str(error)  # noqa: PT017 - either it groups and agrees, or it says why not
    for name in onnx_of:
        session = runtime.session(to_onnx(graphs[name], number, rows, free))
        for batch, given in product(BATCHES, (rows, *others)):
            expected = submodels(network, given[:batch]).flatten(0, 1)
            found = torch.from_numpy(runtime.run_session(session, given[:batch].numpy(), ["raw"])["raw"])
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 + 1e-5 * size(expected))
    exact = copy.deepcopy(network).double()
    for batch, given in product(BATCHES, (rows, *others)):
        finer = given.double() if given.is_floating_point() else given
        expected = submodels(exact, finer[:batch])
        assert (expected[0] - expected[1]).abs().max() > 1e-3  # the masks matter
        for graph in graphs.values():
            found = graph.double()(finer[:batch])
            torch.testing.assert_close(found, expected.flatten(0, 1), rtol=1e-7, atol=1e-7 * size(expected))
    for graph in graphs.values():
        graph.float()
    return graphs


def share(graphs: dict[PlanName, GraphModule], name: PlanName, rows: Tensor) -> float:
    """The multiply-accumulates of a plan as a share of the folded one's."""
    return cost.macs(graphs[name], rows) / cost.macs(graphs["folded"], rows)


def weights(graph: GraphModule, operation: str) -> list[tuple[int, ...]]:
    """The shapes of the weights of all operations of a kind."""
    return [
        tuple(graph.get_buffer(str(node.args[1].target)).shape)
        for node in graph.graph.nodes
        if operation in str(node.target)
    ]


def size(values: Tensor) -> float:
    return float(values.abs().max())


def shaken(network: nn.Module) -> nn.Module:
    """Gives norms statistics, factors and shifts that are not those of a new network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
        if getattr(module, "bias", None) is not None and "Norm" in type(module).__name__:
            nn.init.uniform_(module.weight, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.bias, -1, 1)  # type: ignore[arg-type]
    return network.eval().requires_grad_(False)
