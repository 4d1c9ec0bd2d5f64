"""The nodes and tensors of an ONNX model, in every corner that may have some."""

from collections.abc import Iterator
from typing import Any

_LEAST_BITS = 2  # of an element of a tensor


def nodes(model: Any) -> Iterator[Any]:
    """Every node, including those of subgraphs and functions."""
    waiting = [node for graph in _outer_graphs(model) for node in graph.node]
    for function in model.functions:
        waiting.extend(function.node)
        waiting.extend(_nodes_in(function.attribute_proto))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(_nodes_in(node.attribute))


def _nodes_in(attributes: Any) -> Iterator[Any]:
    for attribute in attributes:  # whatever its type says: protobuf gives empty messages for unset fields
        for graph in (attribute.g, *attribute.graphs):
            yield from graph.node


def _outer_graphs(model: Any) -> Iterator[Any]:
    yield model.graph
    for info in model.training_info:
        yield from (info.initialization, info.algorithm)


def _attributes(model: Any) -> Iterator[Any]:
    """Every attribute of a node, and those that a function has where a node gives it none."""
    for node in nodes(model):
        yield from node.attribute
    for function in model.functions:
        yield from function.attribute_proto


def tensors(model: Any) -> Iterator[Any]:
    """Every tensor with data: initializers and attributes, also sparse ones and those of subgraphs and functions."""
    graphs = list(_outer_graphs(model))
    for attribute in _attributes(model):
        yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        graphs += [attribute.g, *attribute.graphs]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def claims_too_much(tensor: Any) -> bool:
    """Whether its sizes are negative, or make more elements than its bytes can hold."""
    if not tensor.data_type or 0 in tensor.dims:  # protobuf's message for an unset field; an empty tensor
        return False
    elements, most = 1, 8 * tensor.ByteSize() // _LEAST_BITS
    for size in tensor.dims:
        elements *= size
        if size < 0 or elements > most:
            return True
    return False
