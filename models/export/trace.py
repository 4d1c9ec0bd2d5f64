"""Traces a network with torch.export, any batch size, every mask a visible mark in the graph."""

import copy

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from models.layers import Masksembles, layers


@torch.library.custom_op("masksembles::mark", mutates_args=())
def mark(x: Tensor, masks: Tensor) -> Tensor:
    """Stands where masks [N, C] apply to x [B, C, …]; the fold puts the multiplication there."""
    return x.clone()


@mark.register_fake
def _(x: Tensor, masks: Tensor) -> Tensor:
    return torch.empty_like(x)


class _Mark(nn.Module):
    def __init__(self, masks: Tensor) -> None:
        super().__init__()
        self.register_buffer("masks", masks)

    def forward(self, x: Tensor) -> Tensor:
        return mark(x, self.masks)  # type: ignore[no-any-return]


def trace(network: nn.Module, example: Tensor) -> GraphModule:
    """The graph of an adopted network, [B, …] → logits [B, K] as if it had one submodel; axis 0 is symbolic.

    Raises:
        ValueError: the network does not give one tensor [B, K], or fixes the batch size.
    """
    marked = copy.deepcopy(network)
    marks = {layer: _Mark(layer.masks.float()) for layer in layers(marked).values()}
    for name, module in list(marked.named_modules(remove_duplicate=False)):  # a layer may have several names
        if isinstance(module, Masksembles):
            marked.set_submodule(name, marks[module])
    rows = torch.cat([example[:1], example[:1]])  # two rows: torch.export takes a size of 1 for a constant
    try:
        program = torch.export.export(marked, (rows,), dynamic_shapes=({0: torch.export.Dim("B")},))
    except torch._dynamo.exc.UserError as error:
        raise ValueError(f"the network cannot be traced for any batch size: {error}") from error
    module = program.module(check_guards=False)
    graph = GraphModule(module, module.graph)
    shapes = [list(node.meta["val"].shape) for node in graph.graph.output_node().all_input_nodes]
    if len(shapes) != 1 or len(shapes[0]) != 2 or isinstance(shapes[0][0], int):
        raise ValueError(f"the network must give one tensor of logits [B, K] for any batch size B, got {shapes}")
    return graph
