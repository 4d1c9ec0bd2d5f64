"""The part of a contract that describes a network, before it is compiled and calibrated."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version as installed
from math import isfinite

from torch import nn

from app.contract import schema
from app.contract.head import Head
from app.contract.tensor import Tensor as ContractTensor
from models import masks
from models.export.options import ExportOptions
from models.layers import count, digest, layers, method

_log = logging.getLogger(__name__)


def describe(
    network: nn.Module, inputs: Sequence[ContractTensor], heads: Sequence[Head], options: ExportOptions
) -> schema.Contract:
    """The contract of an adopted network.

    Raises:
        ValueError: the options on inputs, heads or axes contradict each other.
    """
    contract = schema.Contract(
        method=method(network),
        num_submodels=count(network),
        masks=_masks(network) if layers(network) else None,
        inputs=tuple(inputs),
        axes=options.axes,
        heads=tuple(heads),
        precision=options.precision,
        origin=schema.Origin(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            software={name: installed(name) for name in ("torch", "onnx", "onnxscript")},
            recipe=options.recipe,
        ),
    )
    taken = {tensor.name for tensor in contract.outputs} | {head.temperature_name for head in heads}
    if both := taken.intersection(given.name for given in inputs):
        raise ValueError(f"inputs: {min(both)} is also the name of an output, or of a temperature: choose another one")
    for index, layer in enumerate(contract.masks.layers if contract.masks else ()):
        scale = "∞" if layer.effective_scale is None else f"{layer.effective_scale:.2f}"
        _log.info("masks %d: %d of %d channels kept, effective scale %s", index, layer.kept, layer.channels, scale)
    return contract


def _masks(network: nn.Module) -> schema.Masks:
    described = []
    for layer in layers(network).values():
        figures = masks.statistics(layer.masks.cpu().numpy())
        described.append(
            schema.MaskedLayer(
                scale=layer.scale,
                # of masks of single values [N, C, …], all values count
                channels=layer.masks[0].numel(),
                kept=round(float(layer.masks.sum()) / layer.submodels),
                iou=round(figures.iou_mean, 4),
                # JSON has no infinity, and disjoint masks have an infinite scale
                effective_scale=round(figures.effective_scale, 4) if isfinite(figures.effective_scale) else None,
            )
        )
    return schema.Masks(layers=tuple(described), digest=digest(network))
