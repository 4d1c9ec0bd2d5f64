import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from app.contract.axis import FreeAxis
from models import artefact
from models.data import Split
from models.evaluation.rows import check_rows
from models.export import ExportOptions, export
from models.export.axes import check_examples, resized, sizes_to_try
from models.export.cost import PlanName
from models.layers import DeepEnsemble, Masksembles1d, Masksembles2d, submodels
from models.runtime import run_session, session

H, W, T = FreeAxis(least=8, most=64, multiple_of=4), FreeAxis(least=6, most=50), FreeAxis(least=2, most=40)


class Convolutional(nn.Sequential):
    """[B, 1, H, W]; a mask before and after a convolution, and a pooling that rounds odd sizes down."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), Masksembles2d(8, 4, 2.0),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), Masksembles2d(16, 4, 2.0),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip


class Skipping(nn.Module):
    """[B, 1, H, W]; what comes before the mask meets what comes after it, at another scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(12, 6, 3, padding=1)
        self.mask, self.last = Masksembles2d(6, 3, 2.0), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.first(x).relu()
        coarse = self.mask(nn.functional.avg_pool2d(fine, 2))
        wide = nn.functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
        out: Tensor = self.last(self.second(torch.cat([fine, wide], 1)).relu().mean((2, 3)))
        return out


class Signals(nn.Sequential):
    """[B, 3, T]."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(3, 8, 3, padding=1), nn.ReLU(), Masksembles1d(8, 4, 2.0), nn.Conv1d(8, 8, 3, padding=1),
            nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 3),
        )  # fmt: skip


class Attentive(nn.Module):
    """[B, T, 3]; positions that depend on T alone."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Linear(3, 8), nn.Linear(8, 3)
        self.attend, self.mask = nn.MultiheadAttention(8, 2, batch_first=True), Masksembles1d(8, 4, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device, dtype=torch.float32).unsqueeze(1)
        given = self.embed(x) + torch.cos(places / torch.arange(1, 9))
        masked = self.mask(given.transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.last(self.attend(masked, masked, masked, need_weights=False)[0].mean(1))
        return out


class Remembering(nn.Module):
    """[B, T, 3]; a mask between two recurrent layers, the second of which reads in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mask = nn.GRU(3, 8, batch_first=True), Masksembles1d(8, 4, 2.0)
        self.second, self.last = nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        masked = self.mask(self.first(x)[0].transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.last(self.second(masked)[0].mean(1))
        return out


Made = Callable[[], nn.Module]
EVEN = FreeAxis(least=8, most=50, multiple_of=2)
FAMILIES: dict[str, tuple[Made, tuple[int | str, ...], tuple[int, ...], dict[str, FreeAxis], PlanName]] = {
    "convolutional": (Convolutional, (1, "H", "W"), (1, 16, 24), {"H": H, "W": W}, "grouped"),
    "square": (Convolutional, (1, "H", "H"), (1, 16, 16), {"H": H}, "branches"),
    "skipping": (Skipping, (1, "H", "W"), (1, 16, 24), {"H": H, "W": EVEN}, "grouped"),
    "signals": (Signals, (3, "T"), (3, 12), {"T": T}, "branches"),
    "attentive": (Attentive, ("T", 3), (12, 3), {"T": T}, "branches"),
    "remembering": (Remembering, ("T", 3), (12, 3), {"T": T}, "branches"),
}


def seeded(made: Made) -> nn.Module:
    torch.manual_seed(0)
    return made().eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_size_answers_as_the_loop_over_the_masks(family: str, tmp_path: Path) -> None:
    made, shape, example, axes, plan = FAMILIES[family]
    network = seeded(made)
    options = ExportOptions(labels="abc", input_shape=shape, axes=axes, plan=plan)
    export(network, torch.rand(2, *example), options, name="free", repository=tmp_path)
    model, contract, _ = artefact.read(tmp_path, "free", 1)
    assert contract.inputs[0].shape == ("B", *shape)
    assert contract.axes == axes
    opened = [session(model), *(session(beside) for beside, _ in artefact.read_plans(tmp_path, "free", 1).values())]
    assert len(opened) == 2
    rng = np.random.default_rng(1)
    for rows in (1, 2, 5):
        picked = {
            letter: int(rng.choice([size for size in range(axis.most + 1) if axis.takes(size)]))
            for letter, axis in axes.items()
        }
        x = torch.rand(rows, *(picked[size] if isinstance(size, str) else size for size in shape))
        expected = submodels(network, x).softmax(-1).permute(1, 0, 2)
        for plan_opened in opened:
            found = run_session(plan_opened, x.numpy(), ["submodels"])["submodels"]
            np.testing.assert_allclose(found, expected.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "other"), [("convolutional", (1, 8, 50)), ("remembering", (31, 3))])
def test_free_axes_in_float16_and_by_measurement(family: str, other: tuple[int, ...], tmp_path: Path) -> None:
    made, shape, example, axes, _ = FAMILIES[family]
    network, x = seeded(made), torch.rand(2, *example)
    options = ExportOptions(labels="abc", input_shape=shape, axes=axes, plan="branches", precision="float16")
    export(network, x, options, name="half", repository=tmp_path)
    for model in (artefact.read(tmp_path, "half", 1)[0], artefact.read_plans(tmp_path, "half", 1)["cpu"][0]):
        assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in model.graph.initializer}
        found = run_session(session(model), torch.rand(3, *other).numpy(), ["entropy"])["entropy"]
        assert np.isfinite(found).all()
    export(network, x, replace(options, plan=None, precision="float32", tune=True), name="tuned", repository=tmp_path)
    assert artefact.read(tmp_path, "tuned", 1)[1].compilation.chosen_by == "measurement"


def test_a_deep_ensemble_takes_free_sizes_too(tmp_path: Path) -> None:
    numbers = count()

    def made() -> nn.Module:
        torch.manual_seed(next(numbers))
        return nn.Sequential(
            nn.Conv1d(3, 4, 3, padding=1), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2)
        ).eval()

    members = [made(), made()]
    options = ExportOptions(labels="ab", input_shape=(3, "T"), axes={"T": T})
    export(members, torch.rand(2, 3, 12), options, name="free", repository=tmp_path)
    model, _, _ = artefact.read(tmp_path, "free", 1)
    x = torch.rand(3, 3, 31)
    expected = submodels(DeepEnsemble(members).eval(), x).softmax(-1).permute(1, 0, 2)
    np.testing.assert_allclose(
        run_session(session(model), x.numpy(), ["submodels"])["submodels"], expected.detach(), rtol=1e-5, atol=1e-5
    )


def test_rows_of_one_size_calibrate_it(tmp_path: Path) -> None:
    network, x = seeded(Signals), torch.rand(200, 3, 20) * torch.rand(200, 3, 1)
    last: Any = network.get_submodule("6")
    with torch.no_grad():  # answers that differ: sure of one class or of another
        last.weight *= 40
        last.bias -= submodels(network, x).mean((0, 1))
        p = submodels(network, x).softmax(-1).mean(0)
    noisy = torch.where(torch.rand(200) < 0.8, p.argmax(1), torch.arange(200) % 3)
    labelled = Split(x.numpy(), noisy.numpy())
    options = ExportOptions(labels="abc", input_shape=(3, "T"), axes={"T": T}, calibration=labelled)
    export(network, torch.rand(2, 3, 12), options, name="free", repository=tmp_path)
    _, contract, _ = artefact.read(tmp_path, "free", 1)
    assert contract.head.calibration is not None
    assert contract.head.calibration.rows == 200
    with pytest.raises(ValueError, match="expected T = 2 to 40, got 41"):
        check_rows(contract, Split(np.zeros((4, 3, 41), np.float32), np.zeros(4, np.int64)))


class Fixed(nn.Module):
    """Takes one size of T alone."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(x.flatten(1))
        return out


class Recurrent(nn.Module):
    """[B, T, 3]; torch.export unrolls it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.RNN(3, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.body(x)[0].mean(1))
        return out


class Eighths(nn.Module):
    """Takes multiples of 8 alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], 3, x.shape[2] // 8, 8).mean((2, 3))


@pytest.mark.parametrize(
    ("network", "shape", "axis", "message"),
    [
        (Fixed(), (3, "T"), T, "axes: the network does not take T = 2: "),
        (Eighths(), (3, "T"), FreeAxis(least=8, most=64, multiple_of=4), "axes: the network does not take T = 12: "),
        (Recurrent(), ("T", 3), T, r"axes\.T: the network cannot be traced for every T = 2 to 40\. .*constant"),
    ],
)
def test_a_network_that_takes_fewer_sizes_is_refused(
    network: nn.Module, shape: Any, axis: FreeAxis, message: str, tmp_path: Path
) -> None:
    options = ExportOptions(labels="abc", input_shape=shape, axes={"T": axis})
    example = torch.rand(2, *(16 if size == "T" and axis is not T else 12 if size == "T" else size for size in shape))
    with pytest.raises(ValueError, match=message):
        export(network.eval(), example, options, name="free", repository=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shape", "axes", "size", "message"),
    [
        ((3, "T"), {}, (3, 12), "axes: expected the letters of input_shape"),
        ((3, 12), {"T": T}, (3, 12), "axes: expected the letters of input_shape"),
        ((3, "T"), {"T": T}, (3, 41), "example_input: expected rows [3, 'T'], T = 2 to 40; got [3, 41]"),
        ((3, "T"), {"T": T}, (4, 12), "example_input: expected rows"),
        (("T", "T"), {"T": T}, (12, 13), "example_input: expected rows"),
        ((3, "T"), {"T": T}, (12,), "example_input: expected rows"),
    ],
)
def test_an_example_has_the_shape_that_the_options_say(shape: Any, axes: Any, size: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_examples({"input": shape}, axes, {"input": torch.zeros(2, *size)})


def test_each_axis_is_tried_at_its_ends_its_middle_and_the_size_after_the_least() -> None:
    tried = sizes_to_try([(1, "H", "W")], {"H": H, "W": W})
    assert {sizes["H"] for sizes in tried} == {8, 12, 36, 64}
    assert {sizes["W"] for sizes in tried} == {6, 7, 28, 50}
    assert len(tried) < 16
    assert sizes_to_try([(3, 5)], {}) == []
    huge = sizes_to_try([(1, "H", "H"), ("H",)], {"H": FreeAxis(least=8, most=4096)})
    assert huge == [{"H": 8}, {"H": 9}]  # and nothing that takes minutes


def test_rows_are_cut_or_repeated() -> None:
    rows = torch.arange(6.0).reshape(1, 2, 3)
    assert resized(rows, [("H", "W")], {"H": 3, "W": 2})[0].tolist() == [[[0, 1], [3, 4], [0, 1]]]
    assert resized(rows, [("H", "W")], {"H": 2, "W": 3})[0] is rows


def test_inputs_with_the_same_letter_have_one_size() -> None:
    shapes = {"ids": ("T",), "mask": ("T",)}
    check_examples(shapes, {"T": T}, {"ids": torch.zeros(2, 5), "mask": torch.zeros(2, 5)})
    with pytest.raises(ValueError, match=r"expected rows of mask \['T'\], T = 2 to 40; got \[6\]"):
        check_examples(shapes, {"T": T}, {"ids": torch.zeros(2, 5), "mask": torch.zeros(2, 6)})
    with pytest.raises(ValueError, match="expected as many rows of each input"):
        check_examples(shapes, {"T": T}, {"ids": torch.zeros(2, 5), "mask": torch.zeros(3, 5)})
