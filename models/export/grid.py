"""The heads of a traced network: how many numbers each gives, for a row or for each cell of a grid."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sympy  # type: ignore[import-untyped]
from torch import SymInt
from torch.fx import GraphModule

from app.contract.axis import Axes, FreeAxis
from app.contract.head import Head
from app.contract.tensor import Axis
from models.export.axes import Shape
from models.export.heads import named_task
from models.export.nodes import results, shape
from models.export.options import ExportOptions

_TRIED = 64
"""Sizes of an axis at which the size of a grid is computed: whatever rounds shows within a few of them."""


def describe_heads(traced: Sequence[GraphModule], shapes: Sequence[Shape], options: ExportOptions) -> tuple[Head, ...]:
    """The heads of a network, in the order of its outputs.

    Args:
        traced: its graph, or those of the members of a deep ensemble.
        shapes: of a row of each input.

    Raises:
        ValueError: labels, targets or precision do not fit it, a grid has a size that no contract can say, or the
            members differ.
    """
    heads = []
    asked_of = options.head_options
    for graph in traced:
        if (gives := len(results(graph))) != len(asked_of):
            raise ValueError(f"the network gives {gives} tensors, expected {len(asked_of)}: see ExportOptions.heads")
    for place, (name, asked) in enumerate(asked_of.items()):
        task, of = named_task(asked), f"heads.{name}: " if name else ""
        if options.precision != "float32" and task.named_by == "targets":
            raise ValueError(f"{of}precision: a regressor's numbers stay in float32")
        found = {_shape(graph, place, shapes, options.axes, of) for graph in traced}
        if len(found) > 1:
            got = " and ".join(str(list(sizes)) for sizes in sorted(found, key=str))
            raise ValueError(f"{of}network: expected all networks to give as many numbers, got {got}")
        ((width, *grid),) = found
        try:
            # an only head has plain outputs, whatever the network calls it
            heads.append(task.head(name if len(asked_of) > 1 else "", int(width), grid, asked))
        except ValueError as error:
            raise ValueError(f"{of}{error}") from error
    return tuple(heads)


def _shape(graph: GraphModule, place: int, shapes: Sequence[Shape], axes: Axes, of: str) -> tuple[Axis, ...]:
    """How many numbers a network gives, and in which grid."""
    symbols = dict(_symbols(graph, shapes))
    _, width, *sizes = shape(results(graph)[place])
    return (width, *(_axis(size, index, symbols, axes, of) for index, size in enumerate(sizes, 2)))


def _symbols(graph: GraphModule, shapes: Sequence[Shape]) -> Iterator[tuple[str, SymInt]]:
    """For each letter, its size in the graph."""
    given = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node, declared in zip(given, shapes, strict=True):
        yield from ((letter, size) for letter, size in zip(declared, shape(node)[1:]) if isinstance(letter, str))


def _axis(size: int | SymInt, index: int, symbols: Mapping[str, SymInt], axes: Axes, of: str) -> Axis:
    """An axis of a grid, as a contract names it."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    letters = [name for name, one in symbols.items() if one.node.expr.free_symbols & expression.free_symbols]
    if len(letters) != 1:
        raise ValueError(
            f"{of}the network gives {expression} cells along axis {index}, which depends on {', '.join(letters)}: a "
            "grid's axis is that of one letter"
        )
    letter = letters[0]
    pairs = [(one, _at(expression, symbols[letter], one, axes[letter])) for one in _tried(axes[letter])]
    largest, cells = pairs[-1]
    divisor = round(largest / cells) if cells else 0
    if divisor and all(one == found * divisor for one, found in pairs):
        return letter if divisor == 1 else f"{letter}/{divisor}"
    if divisor > 1 and all(one == found * divisor for one, found in pairs if one % divisor == 0):
        raise ValueError(
            f"{of}the network gives a map of {letter}/{divisor} along axis {index}, rounded where {divisor} does not "
            f"divide {letter}: axes.{letter}.multiple_of must be a multiple of {divisor}"
        )
    raise ValueError(
        f"{of}the network gives {cells} cells along axis {index} for {letter} = {largest}, neither {letter} nor a "
        f"fraction of it such as {letter}/8: pad its convolutions, or resize its map to that of the input"
    )


def _at(expression: Any, symbol: SymInt, size: int, axis: FreeAxis) -> int:
    """The value of a size in the graph where a letter has a size; one of a multiple is counted in its steps."""
    (counted,) = symbol.node.expr.free_symbols
    return int(expression.xreplace({counted: sympy.Integer(size // axis.multiple_of)}))


def _tried(axis: FreeAxis) -> list[int]:
    """Sizes of an axis from its least on, and its largest as the last one."""
    return [*range(axis.least, axis.most, axis.multiple_of)[:_TRIED], axis.most]
