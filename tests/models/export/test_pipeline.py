from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from app.contract import schema
from app.engine.verifier import verify as vet
from models import artefact, runtime
from models.data import Dataset, DatasetError, Split
from models.export import ExportOptions, export, pipeline
from models.export.verification import VerificationError, classification
from models.export.verification.classification import classifier_reference
from models.layers import Masksembles1d, digest, submodels
from models.networks.cnn import cnn
from models.networks.mlp import mlp
from tests.models.export.networks import NETWORKS
from tests.models.labelled import labels_of


def read(path: Path) -> tuple[onnx.ModelProto, schema.Contract]:
    model, contract, _ = artefact.read(path.parents[2], path.parents[1].name, int(path.parent.name))
    return model, contract


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool((np.abs(found - expected) <= 1e-6 + 1e-5 * np.abs(expected)).all())


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 64])
def test_answers_as_the_plain_loop_over_the_masks(
    digits_network: nn.Module, digits_repository: Path, digits: Dataset, batch: int
) -> None:
    model, contract = read(digits_repository / "digits" / "1" / "model.onnx")
    x = digits.test.inputs[:batch]
    found = runtime.run(model, x, [tensor.name for tensor in contract.outputs])
    with torch.no_grad():
        logits = submodels(digits_network, torch.from_numpy(x)).permute(1, 0, 2)
        p = (logits.double() / contract.head.temperature).softmax(-1).numpy()
    mean = p.mean(axis=1)
    entropy = -(mean * np.log(mean)).sum(-1)
    expected_entropy = -(p * np.log(p)).sum(-1).mean(-1)
    assert close(found["submodels"], p)
    assert close(found["probabilities"], mean)
    assert close(found["entropy"], entropy)
    assert close(found["expected_entropy"], expected_entropy)
    assert close(found["mutual_information"], entropy - expected_entropy)
    assert close(found["energy"], -logits.double().logsumexp(-1).mean(-1).numpy())
    assert (found["prediction"] == mean.argmax(-1)).all()


def test_the_contract_tells_what_the_file_is(
    digits_network: nn.Module, digits_repository: Path, digits: Dataset
) -> None:
    model, contract = read(digits_repository / "digits" / "1" / "model.onnx")
    assert contract.method == "masksembles"
    assert contract.num_submodels == 4
    assert contract.head.labels == digits.classes
    assert contract.masks is not None
    assert contract.masks.digest == digest(digits_network)
    assert [(layer.channels, layer.kept) for layer in contract.masks.layers] == [(128, 64), (128, 64)]
    assert contract.inputs[0].shape == ("B", 1, 8, 8)
    assert contract.inputs[0].range == (0, 1)
    assert contract.head.calibration is not None
    assert contract.head.calibration.rows == len(digits.calibration)
    assert contract.head.evaluation is not None
    assert contract.head.evaluation.accuracy > 0.9
    assert [tensor.name for tensor in contract.outputs] == [output.name for output in model.graph.output]
    assert not any(tensor.data_location for tensor in model.graph.initializer)


class Scaled(nn.Module):
    """A network that was trained on normalised input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = cnn((3, 8, 8), 3, submodels=4, align=1, widths=(4, 8, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_normalisation_is_part_of_the_graph(tmp_path: Path, dtype: str) -> None:
    network = Scaled().eval()
    mean, std = (0.2, 0.4, 0.6), (0.5, 0.6, 0.7)
    pixels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    natural = pixels if dtype == "uint8" else pixels / 255
    path = export(
        network,
        natural,
        ExportOptions(labels=["a", "b", "c"], normalise=(mean, std)),
        name="scaled",
        repository=tmp_path,
    )
    model, contract = read(path)
    assert contract.inputs[0].dtype == dtype
    x = (pixels / 255 - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
    expected = submodels(network, x).softmax(-1).permute(1, 0, 2).detach().numpy()
    assert close(runtime.run(model, natural.numpy(), ["submodels"])["submodels"], expected)


def test_a_network_without_masks_is_one_submodel(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    model, contract = read(
        export(network, torch.rand(1, 6), ExportOptions(labels=["a", "b", "c"]), name="plain", repository=tmp_path)
    )
    assert (contract.method, contract.num_submodels, contract.masks) == ("single", 1, None)
    found = runtime.run(model, np.random.default_rng(0).random((9, 6), np.float32), ["mutual_information", "logits"])
    assert found["logits"].shape == (9, 1, 3)
    assert (found["mutual_information"] == 0).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_of_every_form(tmp_path: Path, network: type[nn.Module]) -> None:
    example = torch.rand(2, *NETWORKS[network])  # export verifies at several batch sizes
    _, contract = read(export(network(), example, ExportOptions(labels="abc"), name="mine", repository=tmp_path))
    assert contract.num_submodels == 4


def test_one_logit_becomes_two_classes(tmp_path: Path) -> None:
    network = mlp((6,), 1, submodels=4, align=1, hidden=(8,)).eval()
    x = torch.randn(5, 6)
    model, contract = read(export(network, x, ExportOptions(labels=["no", "yes"]), name="binary", repository=tmp_path))
    found = runtime.run(model, x.numpy(), ["submodels", "probabilities"])
    yes = submodels(network, x).sigmoid().permute(1, 0, 2).detach().numpy()
    assert close(found["submodels"], np.concatenate([1 - yes, yes], axis=-1))
    assert contract.head.labels == ("no", "yes")


def test_the_network_itself_is_not_touched(tmp_path: Path) -> None:
    network = mlp((6,), 3, align=1, hidden=(8,)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export(network, torch.rand(2, 6), ExportOptions(labels=["a", "b", "c"]), name="mine", repository=tmp_path)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert isinstance(network[3], Masksembles1d)


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(
    submodel_count=st.integers(1, 6),
    scale=st.sampled_from([1.0, 1.5, 2.0, 4.0]),
    hidden=st.lists(st.integers(4, 20), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_any_small_network_survives(submodel_count: int, scale: float, hidden: list[int], seed: int) -> None:
    import tempfile

    torch.manual_seed(seed)
    network = mlp((5,), 4, submodels=submodel_count, scale=scale, seed=seed, align=1, hidden=hidden)
    with tempfile.TemporaryDirectory() as repository:  # export verifies at several batch sizes
        export(network, torch.randn(3, 5), ExportOptions(labels="abcd"), name="mine", repository=Path(repository))


def test_nothing_is_written_that_does_not_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(logits: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
        return classifier_reference(logits * 1.01, temperature)

    monkeypatch.setattr(classification, "classifier_reference", wrong)
    with pytest.raises(VerificationError):
        export(mlp((6,), 3, align=1), torch.rand(2, 6), ExportOptions(labels="abc"), name="mine", repository=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(np.zeros((50, 6), np.float32), np.full(50, 3)), r"labels\[0\]: expected 0 to 2"),
        (Split(np.full((50, 6), np.nan, np.float32), np.zeros(50, np.int64)), r"inputs\[0\]\[0\]: expected finite"),
        (Split(np.zeros((5, 6), np.float32), np.zeros(5, np.int64)), "5 rows cannot fit a scale"),
    ],
)
def test_bad_rows_are_refused_before_anything_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: Split, message: str
) -> None:
    monkeypatch.setattr(pipeline, "compile_plans", None)
    network, options = mlp((6,), 3, align=1), ExportOptions(labels="abc", calibration=split)
    with pytest.raises(DatasetError, match=message):
        export(network, torch.rand(2, 6), options, name="mine", repository=tmp_path)


class Summed(nn.Module):
    """Gives one number a row, without an axis of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((1, 2))


class Doubled(nn.Module):
    """Gives two answers."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * 1, x * 2


class Baked(nn.Module):
    """Works for two rows only."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, -1)


class Centred(nn.Module):
    """Subtracts the mean of the batch from its rows, before any mask."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp((6,), 3, align=1, hidden=(8,))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x - x.mean(0, keepdim=True))


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_network_that_mixes_rows_is_refused(tmp_path: Path, rows: Split, calibrated: bool) -> None:
    calibration = rows if calibrated else None
    with pytest.raises(ValueError, match=r"mixes the rows of a batch: in mean \(aten.mean.dim\)"):
        export(
            Centred(),
            torch.rand(2, 6),
            ExportOptions(labels="abc", calibration=calibration),
            name="mine",
            repository=tmp_path,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 100.0, 300.0, 1000.0])
def test_large_logits_are_no_reason_to_refuse(tmp_path: Path, offset: float) -> None:
    network = mlp((6,), 10, align=1, hidden=(32,))
    network[-1].bias.data += offset  # type: ignore[assignment]
    export(network, torch.randn(64, 6), ExportOptions(labels="abcdefghij"), name="mine", repository=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 4.0, 10.0])
def test_every_scale_is_accepted_by_the_service(tmp_path: Path, scale: float) -> None:
    network = mlp((6,), 3, submodels=4, scale=scale, align=16, hidden=(64,))
    path = export(network, torch.rand(2, 6), ExportOptions(labels="abc"), name="mine", repository=tmp_path)
    assert vet([path])[path].rejected is None
    masks = read(path)[1].masks
    assert masks is not None
    assert masks.layers[0].scale == scale
    assert (masks.layers[0].effective_scale is None) == (scale > 2)  # 16 of 64: disjoint


@pytest.mark.parametrize(
    ("network", "shape", "labels", "message"),
    [
        (Summed(), (2, 3, 4), "abc", r"one tensor of logits \[B, K\]"),
        (Doubled(), (2, 3), "abc", r"gives 2 tensors, expected 1: see ExportOptions\.heads"),
        (Baked(), (2, 3), "abc", "any batch size"),
        (nn.Linear(6, 3), (2, 6), "ab", "the network has 3 classes, got 2 labels"),
    ],
)
def test_what_cannot_be_exported_says_why(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...], labels: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export(network, torch.rand(shape), ExportOptions(labels=labels), name="mine", repository=tmp_path)
    assert not list(tmp_path.iterdir())


def test_bad_arguments_say_why(tmp_path: Path, rows: Split) -> None:
    network = mlp((6,), 3, align=1)
    with pytest.raises(ValueError, match=r"must be float32, uint8, int64, int32, bool, got torch\.float64"):
        export(network, torch.rand(2, 6).double(), ExportOptions(labels="abc"), name="mine", repository=tmp_path)
    with pytest.raises(ValueError, match="standard deviation must be positive"):
        export(
            network,
            torch.rand(2, 6),
            ExportOptions(labels="abc", normalise=(0.0, 0.0)),
            name="mine",
            repository=tmp_path,
        )
    with pytest.raises(ValueError, match="expected 1 or 6 values for the mean, got 2"):
        export(
            network,
            torch.rand(2, 6),
            ExportOptions(labels="abc", normalise=((0.0, 1.0), 1.0)),
            name="mine",
            repository=tmp_path,
        )
    calibration = Split(rows.inputs, rows.labels + 1)
    with pytest.raises(ValueError, match=r"labels\[\d+\]: expected 0 to 2"):
        export(
            network,
            torch.rand(2, 6),
            ExportOptions(labels="abc", calibration=calibration),
            name="mine",
            repository=tmp_path,
        )
    with pytest.raises(ValueError, match="not a model name"):
        export(network, torch.rand(2, 6), ExportOptions(labels="abc"), name="../mine", repository=tmp_path)
    assert not list(tmp_path.iterdir())


def test_any_runtime_may_read_it(digits_repository: Path, digits: Dataset) -> None:
    session = onnxruntime.InferenceSession(
        str(digits_repository / "digits" / "1" / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    assert [entry.name for entry in session.get_inputs()] == ["input"]
    assert session.get_inputs()[0].shape == ["B", 1, 8, 8]
    (entropy,) = session.run(["entropy"], {"input": digits.test.inputs[:5]})
    assert entropy.shape == (5,)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0])
def test_no_constant_of_the_network_is_taken_for_the_temperature(tmp_path: Path, rows: Split, factor: float) -> None:
    class Factor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp((6,), 3, align=1, hidden=(8,))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) / torch.tensor(factor)

    network = Factor().eval()
    rows = Split(rows.inputs, labels_of(submodels(network, torch.from_numpy(rows.inputs))))
    options = ExportOptions(labels="abc", calibration=rows)
    path = export(network, torch.rand(2, 6), options, name="mine", repository=tmp_path)
    assert read(path)[1].head.temperature != 1
