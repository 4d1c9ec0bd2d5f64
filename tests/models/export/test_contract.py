"""What a contract says of a network, before any calibration; a whole one is read back in test_pipeline."""

import logging
from typing import Any

import pytest
import torch
from torch import nn

from app.contract import schema
from app.contract.head import Target
from app.contract.tensor import Tensor
from models.export import ExportOptions, HeadOptions
from models.export.contract import describe
from models.export.heads import named_task
from models.layers import DeepEnsemble, FrozenDropout, Masksembles1d, digest

GIVEN = Tensor(name="input", dtype="float32", shape=("B", 6), unit="feature")


def contract(network: nn.Module, width: int = 3, **fields: Any) -> schema.Contract:
    """That of a network of some width, a classifier if the options say nothing else."""
    options = ExportOptions(**(fields if "targets" in fields else {"labels": "abc", **fields}))
    heads = [named_task(asked).head(name, width, (), asked) for name, asked in options.head_options.items()]
    return describe(network, [GIVEN], heads, options)


def masked(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), *layers, nn.Linear(4, 3))


def test_it_tells_how_the_masks_overlap(caplog: pytest.LogCaptureFixture) -> None:
    overlapping = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]])
    disjoint = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]])
    network = masked(Masksembles1d.from_masks(overlapping, 3.0), Masksembles1d.from_masks(disjoint, 2.0))
    with caplog.at_level(logging.INFO, "models.export.contract"):
        found = contract(network)
    assert (found.method, found.num_submodels) == ("masksembles", 2)
    assert found.masks is not None
    assert found.masks.digest == digest(network)
    first, second = found.masks.layers
    assert (first.scale, first.channels, first.kept, first.iou) == (3.0, 4, 2, 0.25)  # 2 and 3 kept, 2.5 to even
    assert first.effective_scale == 2.5  # an IoU of 1/(2S − 1)
    assert (second.kept, second.iou, second.effective_scale) == (2, 0.0, None)  # JSON has no infinity
    assert [record.getMessage() for record in caplog.records] == [
        "masks 0: 2 of 4 channels kept, effective scale 2.50",
        "masks 1: 2 of 4 channels kept, effective scale ∞",
    ]


def test_masks_of_single_places_count_their_places() -> None:
    drawn = torch.ones(3, 4, 5, dtype=torch.bool)
    drawn[:, 0] = False
    found = contract(masked(FrozenDropout(drawn, 0.25)))
    assert found.method == "mc-dropout"
    assert found.masks is not None
    assert [(layer.channels, layer.kept) for layer in found.masks.layers] == [(20, 15)]


@pytest.mark.parametrize(
    ("network", "method", "submodels"),
    [
        (nn.Linear(6, 3), "single", 1),
        (DeepEnsemble([nn.Linear(6, 3), nn.Linear(6, 3)]), "deep-ensemble", 2),
    ],
)
def test_without_masks_there_is_nothing_to_tell_of_them(network: nn.Module, method: str, submodels: int) -> None:
    found = contract(network)
    assert (found.method, found.num_submodels, found.masks) == (method, submodels, None)


def test_it_keeps_what_the_options_say() -> None:
    found = contract(nn.Linear(6, 3), precision="float16", recipe={"epochs": 3})
    assert (found.head.labels, found.head.targets, found.precision) == (("a", "b", "c"), (), "float16")
    assert (found.inputs, found.compilation) == ((GIVEN,), None)
    assert found.origin.recipe == {"epochs": 3}
    assert found.origin.software["torch"] == torch.__version__
    assert set(found.origin.software) == {"torch", "onnx", "onnxscript"}
    assert found.origin.created.endswith("+00:00")
    assert (found.head.calibration, found.head.evaluation, found.head.temperature) == (None, None, 1.0)


def test_a_regressor_tells_its_targets() -> None:
    found = contract(nn.Linear(6, 2), width=2, targets=[("length", "mm")])
    assert (found.head.task, found.head.labels) == ("regression", ())
    assert found.head.targets == (Target(name="length", unit="mm"),)
    assert {tensor.name for tensor in found.outputs} >= {"variance", "entropy"}


@pytest.mark.parametrize("name", ["entropy", "temperature"])
def test_an_input_has_no_name_of_an_output(name: str) -> None:
    heads = [named_task(asked).head("", 3, (), asked) for asked in [HeadOptions(labels="abc")]]
    given = GIVEN.model_copy(update={"name": name})
    with pytest.raises(ValueError, match=f"inputs: {name} is also the name of an output, or of a temperature"):
        describe(nn.Linear(6, 3), [given], heads, ExportOptions(labels="abc"))
