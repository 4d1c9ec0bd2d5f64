"""The rest of a graph: from the outputs that all others follow from, given the temperature, to these others.

With it rows whose inputs are gone, but not what was answered, are calibrated and measured by the graph's own formulas.
No torch here.
"""

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tensor import Tensor
from models.artefact import ArtefactError
from models.evaluation.tasks import evaluator_of


def rest_of_graph(model: onnx.ModelProto, contract: Contract, head: Head) -> tuple[onnx.ModelProto, Contract]:
    """A model whose inputs are the outputs that the head's task calls `sufficient`, those that the temperature
    multiplies being divided by it; it has the outputs of that head. Also its contract.

    Raises:
        ArtefactError: an output does not follow from these.
    """
    rest, graph = onnx.ModelProto(), model.graph
    rest.CopyFrom(model)
    own: list[onnx.NodeProto] = []
    inputs: list[Tensor] = []
    tensors = {tensor.name: head.resolved(tensor, contract.num_submodels) for tensor in head.outputs}
    for name in head.task_kind.sufficient(head):
        tensor = tensors[name]
        inputs.append(tensor.model_copy(update={"name": input_name(head, name)}))
        by = [head.temperature_name] if name in evaluator_of(head).scaled else []
        own.append(onnx.helper.make_node("Mul" if by else "Identity", [inputs[-1].name, *by], [tensor.name]))
    outputs = [tensor.name for tensor in tensors.values()]
    given = {output for node in own for output in node.output}
    nodes, held = _between(graph, given, outputs)
    held.add(head.temperature_name)
    del rest.graph.node[:], rest.graph.input[:], rest.graph.output[:], rest.graph.initializer[:]
    rest.graph.node.extend([*own, *nodes])
    rest.graph.input.extend(
        onnx.helper.make_tensor_value_info(one.name, onnx.TensorProto.FLOAT, one.shape) for one in inputs
    )
    rest.graph.output.extend(output for output in graph.output if output.name in outputs)
    rest.graph.initializer.extend(one for one in graph.initializer if one.name in held)
    return rest, contract.model_copy(update={"inputs": tuple(inputs), "axes": {}, "heads": (head,)})


def input_name(head: Head, output: str) -> str:
    """The name of the input that an output has become."""
    return f"{head.graph_name(output)}.answered"


def as_inputs(head: Head, answered: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Inputs of that model, from outputs by plain name that were answered at the head's temperature."""
    scaled = evaluator_of(head).scaled
    return {
        input_name(head, name): (values / head.temperature).astype(values.dtype) if name in scaled else values
        for name, values in answered.items()
    }


def _between(graph: onnx.GraphProto, given: set[str], outputs: list[str]) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that lead from some values to others, in order, and the names of the initializers that they need."""
    makers = {output: node for node in graph.node for output in node.output}
    initializers = {one.name for one in graph.initializer}
    needed: set[int] = set()
    held: set[str] = set()
    open_ = [name for name in outputs if name not in given]
    while open_:
        name = open_.pop()
        if name in initializers:
            held.add(name)
        elif (node := makers.get(name)) is None:
            raise ArtefactError(f"the outputs follow from {name!r} and not from {', '.join(sorted(given))} alone")
        elif id(node) not in needed:
            needed.add(id(node))
            open_ += [one for one in node.input if one and one not in given]
    return [node for node in graph.node if id(node) in needed], held
