"""From a graph in torch to a graph in ONNX."""

import logging
import re
import warnings

import onnx
import torch
from torch import Tensor
from torch.fx import GraphModule

from app.contract.repository import TEMPERATURE
from models import artefact
from models.export.axes import Dims
from models.export.heads import Head
from models.export.recurrent import TRANSLATIONS
from models.export.untraceable import written

OPSET = 20

# said at every export, also of networks that need nothing of torchvision
logging.getLogger("torch.onnx._internal.exporter._registration").addFilter(
    lambda record: not record.getMessage().startswith("torchvision is not installed")
)


def convert(head: Head, example: Tensor, free: Dims | None = None) -> onnx.ModelProto:
    """A model that takes any number of rows like the example's; the temperature, if it has one, is 1.

    Args:
        free: the axes of free size.

    Raises:
        ValueError: an operation has no counterpart in ONNX; the message names it and, if known, its line.
        RuntimeError: the exporter returned no program, or does not use the temperature exactly once.
    """
    # two rows: the exporter takes a size of 1 for a constant
    rows = torch.cat([example[:1], example[:1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        try:
            program = torch.onnx.export(
                head,
                (rows,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("B"), **(free or {})},),
                input_names=["input"],
                output_names=list(head.OUTPUTS),
                opset_version=OPSET,
                custom_translation_table=TRANSLATIONS,
                # weights inside, so that no copy can separate them from the graph
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(_unknown(head, str(error))) from error
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model: onnx.ModelProto = program.model_proto
    # a temperature that was folded, or merged with another constant, could not be set any more
    uses = sum(list(node.input).count(TEMPERATURE) for node in model.graph.node)
    if uses != head.has_temperature:
        raise RuntimeError(f"the exporter left {uses} uses of the temperature, expected {int(head.has_temperature)}")
    # stack traces name paths of this machine, and would make equal exports differ
    artefact.slim(model)
    if head.has_temperature:
        # after the export, whose optimiser would have dropped a division by 1
        artefact.set_temperature(model, 1.0)
    return model


def _unknown(head: Head, said: str) -> str:
    """What to tell of an operation that ONNX does not have."""
    found = re.search(r"No ONNX function found for <OpOverload\(op='(\w+)\.(\w+)", said)
    if found is None:
        return f"the network cannot be converted to ONNX: {said}"
    named = [
        node
        for part in head.modules()
        if isinstance(part, GraphModule)
        for node in part.graph.nodes
        if node.op == "call_function" and found[2] in str(node.target)
    ]
    place = written(named[0]) if named else ""
    advice = f"ONNX has no {found[2]}: write it with other operations"
    return f"the network cannot be converted to ONNX: {place}{advice}\n{said}"
