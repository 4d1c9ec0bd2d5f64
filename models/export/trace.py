"""Traces a network with torch.export, any batch size, every mask a visible mark in the graph."""

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.fx.experimental.symbolic_shapes import statically_known_true

from models.adopt import replace
from models.export.axes import Dims
from models.export.mark import Mark
from models.export.recurrent import keep_whole
from models.export.untraceable import check_graph, explain
from models.layers import layers


def trace(network: nn.Module, example: Tensor, free: Dims | None = None) -> GraphModule:
    """The graph of an adopted network as if it had one submodel: [B, …] → logits [B, K, …] or numbers [B, D], any B.

    Args:
        free: the axes of free size.

    Raises:
        ValueError: the network does not return one tensor [B, K, …], fixes the batch size, or cannot be traced; see
            `models.export.untraceable`, which names the line.
    """
    # the caller's network keeps its masks, whatever happens here
    marked = copy.deepcopy(network)
    replace(marked, {layer: Mark(layer.factors) for layer in layers(marked).values()})
    if free:
        keep_whole(marked)
    rows = torch.cat([example[:1], example[:1]])  # two rows: torch.export takes a size of 1 for a constant

    def traced() -> ExportedProgram:
        with warnings.catch_warnings():
            # recurrent layers keep a list of their own weights, which torch.export swaps and takes for new ones
            warnings.filterwarnings("ignore", r"The tensor attributes? .*_flat_weights", UserWarning)
            return torch.export.export(marked, (rows,), dynamic_shapes=({0: torch.export.Dim("B"), **(free or {})},))

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
    # the same symbol at both ends: equal numbers of rows, for every batch size
    (given,) = (node.meta["val"].shape[0] for node in graph.graph.nodes if node.op == "placeholder")
    shapes = [list(node.meta["val"].shape) for node in graph.graph.output_node().all_input_nodes]
    packed = program.call_spec.out_spec.type  # of a dict or a tuple, even one of a single tensor
    sizes = shapes[0] if len(shapes) == 1 else []
    if packed or len(sizes) < 2 or [isinstance(size, int) for size in sizes[:2]] != [False, True]:
        raise ValueError(
            "the network must give one tensor of logits [B, K], or of numbers to predict, for any batch size B, "
            f"got {f'a {packed.__name__} of ' if packed else ''}{shapes}"
        )
    rows_out = shapes[0][0]
    if not statically_known_true(rows_out == given):
        raise ValueError(
            f"the network gives {rows_out} rows for {given}: it must leave out none, and must not repeat its input for "
            "its submodels itself, the export does that where the masks begin"
        )
    return graph


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
