"""Traces a network with torch.export, any batch size, every mask a visible mark in the graph."""

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.experimental.symbolic_shapes import statically_known_true

from models.adopt import replace
from models.export.axes import Dims
from models.export.mark import Mark
from models.export.nodes import results
from models.export.recurrent import keep_whole
from models.export.untraceable import check_graph, explain
from models.given import Tensors, each
from models.layers import layers


def trace(network: nn.Module, example: Tensors, free: Sequence[Dims] = ()) -> GraphModule:
    """The graph of an adopted network as if it had one submodel: [B, …] → logits [B, K, …] or numbers [B, D, …] of each
    head, any B.

    Args:
        example: its input [B, …], or all of them in the order of its arguments.
        free: the axes of free size, of each input.

    Raises:
        ValueError: the network does not return one tensor [B, K, …], or a tuple of such, fixes the batch size, or
            cannot be traced; see `models.export.untraceable`, which names the line.
    """
    # the caller's network keeps its masks, whatever happens here
    marked = copy.deepcopy(network)
    replace(marked, {layer: Mark(layer.factors) for layer in layers(marked).values()})
    if any(free):
        keep_whole(marked)
    rows = two_rows(example)
    shapes = dynamic_shapes(marked, [{0: torch.export.Dim("B"), **dims} for dims in free or [{}] * len(rows)])

    def traced() -> ExportedProgram:
        with warnings.catch_warnings():
            # recurrent layers keep a list of their own weights, which torch.export swaps and takes for new ones
            warnings.filterwarnings("ignore", r"The tensor attributes? .*_flat_weights", UserWarning)
            return torch.export.export(marked, rows, dynamic_shapes=shapes)

    try:
        program = traced()
    except Exception as error:  # torch.export lets through whatever the network's own code and its own passes raise
        raise ValueError(explain(error, traced)) from error
    check_graph(program.graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
        # decomposed by nothing, but functional: no operation works in place; guards would add a call to the graph
        module = program.run_decompositions({}).module(check_guards=False)
    graph = GraphModule(module, module.graph)
    _name_batch_norm(graph)
    _check_results(graph, program)
    return graph


def two_rows(example: Tensors) -> tuple[Tensor, ...]:
    """The first row twice: torch.export takes a size of 1 for a constant."""
    return tuple(torch.cat([one[:1], one[:1]]) for one in each(example))


def dynamic_shapes(network: nn.Module, dims: Sequence[Dims]) -> tuple[Any, ...]:
    """The dimensions of inputs as torch.export wants them, which keeps those of `*inputs` in a tuple of their own."""
    parameters = inspect.signature(network.forward).parameters.values()
    named = next((place for place, one in enumerate(parameters) if one.kind is one.VAR_POSITIONAL), None)
    return tuple(dims) if named is None else (*dims[:named], tuple(dims[named:]))


def _check_results(graph: GraphModule, program: ExportedProgram) -> None:
    """Checks that a network gives a tensor [B, K, …], or a tuple of such, of as many rows as it is given."""
    # the same symbol at both ends: equal numbers of rows, for every batch size
    given = next(node.meta["val"].shape[0] for node in graph.graph.nodes if node.op == "placeholder")
    packed = program.call_spec.out_spec.type  # of a dict or a tuple, even one of a single tensor
    shapes = [list(node.meta["val"].shape) for node in results(graph)]
    whole = shapes and (packed is None or (packed is tuple and len(shapes) > 1))
    if not whole or not all([isinstance(size, int) for size in sizes[:2]] == [False, True] for sizes in shapes):
        raise ValueError(
            "the network must give one tensor of logits [B, K], or of numbers to predict, for any batch size B, "
            f"got {f'a {packed.__name__} of ' if packed else ''}{shapes}; several heads have names, see "
            "ExportOptions.heads"
        )
    for rows, *_ in shapes:
        if not statically_known_true(rows == given):
            raise ValueError(
                f"the network gives {rows} rows for {given}: it must leave out none, and must not repeat its input for "
                "its submodels itself, the export does that where the masks begin"
            )


def _name_batch_norm(graph: GraphModule) -> None:
    """Restores the one-result form of batch norm in evaluation mode, which the passes know.

    `run_decompositions` leaves one with three results, of which a getitem takes the first.
    """
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten._native_batch_norm_legit_no_training.default:
            x, weight, bias, mean, variance, momentum, epsilon = node.args
            with graph.graph.inserting_before(node):
                args = (x, weight, bias, mean, variance, False, momentum, epsilon, False)
                plain = graph.graph.call_function(torch.ops.aten.batch_norm.default, args)
            for user in list(node.users):
                plain.meta["val"] = user.meta["val"]
                user.replace_all_uses_with(plain)
                graph.graph.erase_node(user)
            graph.graph.erase_node(node)
    graph.recompile()
