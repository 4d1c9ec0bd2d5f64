"""From a graph in torch to a graph in ONNX."""

import logging
import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from torch.fx import GraphModule

from models import artefact
from models.export.axes import Dims
from models.export.recurrent import TRANSLATIONS
from models.export.served import Served
from models.export.trace import dynamic_shapes, two_rows
from models.export.untraceable import written
from models.given import Tensors

OPSET = 20
_GIVEN = "given."
"""Stands before the name of an input while a graph is made: values in it have no dots, and weights other ones."""

# said at every export, also of networks that need nothing of torchvision
logging.getLogger("torch.onnx._internal.exporter._registration").addFilter(
    lambda record: not record.getMessage().startswith("torchvision is not installed")
)


def convert(served: Served, example: Tensors, free: Sequence[Dims] = ()) -> onnx.ModelProto:
    """A model that takes any number of rows like the example's; all its temperatures are 1.

    Args:
        free: the axes of free size, of each input.

    Raises:
        ValueError: an operation has no counterpart in ONNX; the message names it and, if known, its line.
        RuntimeError: the exporter returned no program, or does not use each temperature exactly once.
    """
    rows = two_rows(example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        try:
            program = torch.onnx.export(
                served,
                rows,
                dynamo=True,
                dynamic_shapes=dynamic_shapes(
                    served, [{0: torch.export.Dim("B"), **dims} for dims in free or [{}] * len(rows)]
                ),
                input_names=[_GIVEN + name for name in served.inputs],
                output_names=list(served.outputs),
                opset_version=OPSET,
                custom_translation_table=TRANSLATIONS,
                # weights inside, so that no copy can separate them from the graph
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(_unknown(served, str(error))) from error
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model: onnx.ModelProto = program.model_proto
    _name_inputs(model.graph, served.inputs)
    # stack traces name paths of this machine, and would make equal exports differ
    artefact.slim(model)
    for buffer, name in served.temperatures.items():
        # after the export, whose optimiser would have dropped a division by 1
        _name_temperature(model.graph, buffer, name)
    return model


def _name_inputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Gives inputs their names; a value inside that has one of them, such as that of an operation, gets another."""
    renamed = {name: f"{name}.inside" for name in names} | {_GIVEN + name: name for name in names}
    _rename(graph, renamed)


def _rename(graph: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    for tensor in (*graph.input, *graph.initializer):
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [renamed.get(value, value) for value in values]
        for attribute in node.attribute:  # the body of a loop sees the values around it
            _rename(attribute.g, renamed)


def _name_temperature(graph: onnx.GraphProto, buffer: str, name: str) -> None:
    """Gives a temperature its name in the file, and the value 1."""
    uses = [(node, place) for node in graph.node for place, given in enumerate(node.input) if given == buffer]
    # a temperature that was folded, or merged with another constant, could not be set any more
    if len(uses) != 1:
        raise RuntimeError(f"the exporter left {len(uses)} uses of {name}, expected 1")
    (node, place), (tensor,) = uses[0], (tensor for tensor in graph.initializer if tensor.name == buffer)
    node.input[place] = name
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(1, np.float32), name))


def _unknown(served: Served, said: str) -> str:
    """What to tell of an operation that ONNX does not have."""
    found = re.search(r"No ONNX function found for <OpOverload\(op='(\w+)\.(\w+)", said)
    if found is None:
        return f"the network cannot be converted to ONNX: {said}"
    named = [
        node
        for part in served.modules()
        if isinstance(part, GraphModule)
        for node in part.graph.nodes
        if node.op == "call_function" and found[2] in str(node.target)
    ]
    place = written(named[0]) if named else ""
    advice = f"ONNX has no {found[2]}: write it with other operations"
    return f"the network cannot be converted to ONNX: {place}{advice}\n{said}"
