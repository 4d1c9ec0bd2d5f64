"""From a graph in torch to a graph in ONNX."""

import warnings

import onnx
import torch
from torch import Tensor

from app.contract.repository import TEMPERATURE
from models import artefact
from models.export.heads import Head

OPSET = 20


def convert(head: Head, example: Tensor) -> onnx.ModelProto:
    """A model that takes any number of rows like the example's; the temperature, if it has one, is 1.

    Raises:
        RuntimeError: the exporter returned no program, or does not use the temperature exactly once.
    """
    # two rows: the exporter takes a size of 1 for a constant
    rows = torch.cat([example[:1], example[:1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            head,
            (rows,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("B")},),
            input_names=["input"],
            output_names=list(head.OUTPUTS),
            opset_version=OPSET,
            # weights inside, so that no copy can separate them from the graph
            external_data=False,
            verbose=False,
        )
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
