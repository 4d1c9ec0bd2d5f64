from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from models import artefact, runtime
from models.data import Dataset
from models.export import ExportOptions, Precision, export
from models.export.cost import PlanName
from models.export.float16 import to_float16
from models.export.trace import trace
from models.export.verification import VerificationError
from models.layers import Masksembles2d


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["folded", "branches"])
def test_entropies_of_a_trained_network_stay_where_they_were(
    digits_network: nn.Module, digits: Dataset, tmp_path: Path, plan: PlanName
) -> None:
    found = {}
    precisions: tuple[Precision, ...] = ("float32", "float16")
    for precision in precisions:
        options = ExportOptions(labels=digits.classes, calibration=digits.calibration, precision=precision, plan=plan)
        path = export(
            digits_network, torch.from_numpy(digits.test.inputs[:2]), options, name="digits", repository=tmp_path
        )
        file = path if plan == "folded" else path.parent / "model.cpu.onnx"
        model, contract = artefact._read(file)
        artefact.set_temperature(model, contract.head, 1.0)
        found[precision] = runtime.run(model, digits.test.inputs, ["entropy"])["entropy"]
        types = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) >= 2}
        assert (onnx.TensorProto.FLOAT16 in types) == (precision == "float16")
        assert onnx.TensorProto.FLOAT in types  # the last layer
    difference = np.abs(found["float16"] - found["float32"])
    assert 0 < np.quantile(difference, 0.99) <= 1e-3
    assert difference.max() <= 5e-3
    assert artefact.read(tmp_path, "digits", 2)[1].precision == "float16"


def test_running_statistics_are_folded_away_before_they_are_rounded() -> None:
    norm = nn.BatchNorm2d(8)
    nn.init.constant_(norm.running_var, 1e6)  # type: ignore[arg-type]  # more than float16 can hold
    nn.init.constant_(norm.weight, 1e3)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 3)).eval()
    x = torch.rand(4, 1, 6, 6)
    expected = network(x)
    graph = to_float16(trace(network.requires_grad_(False), x), x)
    assert "batch_norm" not in str(graph.graph)
    assert graph(x).dtype == torch.float32
    torch.testing.assert_close(graph(x), expected, rtol=2e-3, atol=2e-3)


def test_what_cannot_be_in_float16_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is only one layer"):
        export(
            nn.Linear(6, 3),
            torch.rand(2, 6),
            ExportOptions(labels="abc", precision="float16"),
            name="one",
            repository=tmp_path,
        )
    large = nn.Sequential(nn.Conv2d(1, 8, 3), Masksembles2d(8, 4), nn.Flatten(), nn.Linear(8 * 16, 3))
    large[0].weight.data *= 1e6  # type: ignore[assignment]  # beyond float16
    with pytest.raises((VerificationError, ValueError)):
        export(
            large,
            torch.rand(2, 1, 6, 6),
            ExportOptions(labels="abc", precision="float16"),
            name="large",
            repository=tmp_path,
        )
    assert not list(tmp_path.iterdir())


class Mixed(nn.Module):
    """A transposed convolution in groups before batch norm, and a value that is not computed from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mask = nn.Conv2d(1, 16, 3), Masksembles2d(16, 4, seed=0)
        self.up, self.norm, self.last = nn.ConvTranspose2d(16, 16, 2, groups=2), nn.BatchNorm2d(16), nn.Linear(16, 3)
        self.second = nn.Conv2d(16, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.up(self.mask(self.first(x))))
        y = self.second(y + torch.ones(y.shape[0], 1, *y.shape[2:]))
        return self.last(y.mean((2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["folded", "branches"])
def test_a_body_of_many_kinds(plan, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    export(
        Mixed(),
        torch.rand(2, 1, 6, 6),
        ExportOptions(labels="abc", precision="float16", plan=plan),
        name="mixed",
        repository=tmp_path,
    )
