"""The heads of a traced network: how many numbers each gives, for a row or for each cell of a grid."""

from collections.abc import Sequence

from torch.fx import GraphModule

from app.contract.head import Head
from models.export.heads import named_task
from models.export.nodes import shape
from models.export.options import ExportOptions


def describe_heads(traced: Sequence[GraphModule], options: ExportOptions) -> tuple[Head, ...]:
    """The heads of a network, in the order of its outputs.

    Args:
        traced: its graph, or those of the members of a deep ensemble.

    Raises:
        ValueError: labels, targets or precision do not fit it, or the members differ.
    """
    heads = []
    for place, (name, asked) in enumerate(options.head_options.items()):
        task = named_task(asked)
        if options.precision != "float32" and task.named_by == "targets":
            raise ValueError("precision: a regressor's numbers stay in float32")
        found = {_sizes(graph, place) for graph in traced}
        if len(found) > 1:
            raise ValueError(f"network: expected all networks to give as many numbers, got {sorted(found)}")
        ((width, *grid),) = found
        heads.append(task.head(name, width, grid, asked))
    return tuple(heads)


def _sizes(graph: GraphModule, place: int) -> tuple[int, ...]:
    """How many numbers a network gives for a row, and in which grid."""
    output = graph.graph.output_node().all_input_nodes[place]
    rows, *sizes = shape(output)
    if len(sizes) != 1:
        raise ValueError(
            f"the network must give one tensor of logits [B, K], or of numbers to predict, got {[rows, *sizes]}: "
            "answers for each cell of a map cannot be exported yet"
        )
    return tuple(map(int, sizes))
