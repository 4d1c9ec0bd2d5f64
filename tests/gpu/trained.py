"""A shipped network of Fashion-MNIST, rebuilt in torch from its own file, to export it in float16."""

from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from app.contract.repository import model_path
from models.export import ExportOptions, export
from models.layers import layers
from models.networks.cnn import cnn
from tests import artefacts
from tests.gpu import exports
from tests.pictures import pictures
from tests.serving import ROOT

FILE = model_path(ROOT / "models" / "repository", exports.TRAINED_FROM, 1)


def rebuild() -> nn.Sequential:
    """The network with the weights and masks of the file, whose batch norm is folded into its convolutions.

    Raises:
        KeyError: the file names its weights otherwise.
    """
    model, contract = artefacts.load(FILE)
    held = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    recipe = contract.origin.recipe
    settings = {name: recipe[name] for name in ("submodels", "scale", "seed", "align")}
    options = {name: recipe["options"][name] for name in ("widths", "strided")}
    network = cnn(recipe["input_shape"], recipe["classes"], **settings, **options).eval()
    for name, module in network.named_children():
        if isinstance(module, nn.Conv2d):
            module.weight.data = held[f"body.{name}.weight"]
            _shift_alone(network[int(name) + 1], held[f"body.{name}.weight_bias"])
        elif isinstance(module, nn.Linear):
            module.weight.data, module.bias.data = held[f"body.{name}.weight"], held[f"body.{name}.bias"]
    stored = [held[name].flatten(1) for name in ("view", "view_3", "view_7")]
    for layer, factors in zip(layers(network).values(), stored):
        layer.masks = factors != 0
    return network


def _shift_alone(norm: nn.Module, shift: Tensor) -> None:
    """Makes a batch norm add a shift and do nothing else."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.data.fill_(1)
    norm.bias.data = shift


def export_trained(repository: Path, name: str, device: str) -> Path:
    """Exports it in float16, folded, not calibrated."""
    contract = artefacts.load(FILE)[1]
    options = ExportOptions(
        labels=list(contract.head.labels),
        devices=(device,),  # type: ignore[arg-type]
        precision="float16",
        plan="folded",
    )
    return export(rebuild(), torch.from_numpy(pictures().inputs[:64]), options, name=name, repository=repository)
