"""A multilabel network along the whole line: train → export → serve → evaluate → recalibrate, by the real commands."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import artefact
from models.data import Dataset
from models.data import load as load_data
from models.layers import submodels
from models.training.trainer import load
from tests.e2e.test_line import workshop
from tests.once import Once
from tests.serving import as_process

LABELS = ("even", "prime", "above-4", "has-a-loop")
SCORES = ("entropy", "expected_entropy", "mutual_information")


@pytest.fixture(scope="module")
def traits() -> Dataset:
    return load_data("digit-traits")


@pytest.fixture
def line(once: Once) -> Path:
    """A checkpoint and a repository, made by the commands."""
    return once("multilabel", _train_and_export)


def _train_and_export(folder: Path) -> None:
    checkpoint, repository = folder / "traits.pt", folder / "repository"
    workshop("train", "digit-traits", "--epochs", "20", "--checkpoint", checkpoint)
    printed = workshop(
        "export", "digit-traits", "--checkpoint", checkpoint, "--repository", repository, "--name", "traits",
        "--policy", "reject mutual_information>c99, defer entropy>p80",
    )  # fmt: skip
    assert "verify: folded agrees with the torch loop over the masks" in printed
    assert "digit-traits, 300 test rows: exact match 0." in printed


def torch_loop(network: nn.Module, x: NDArray[Any], temperature: float) -> dict[str, NDArray[Any]]:
    """Every output of the graph, in float64."""

    def entropy(p: Tensor) -> Tensor:
        return torch.special.entr(p) + torch.special.entr(1 - p)

    with torch.no_grad():
        logits = submodels(network, torch.from_numpy(x)).double()
    p = torch.stack([(one / temperature).sigmoid() for one in logits])
    mean, expected = p.mean(dim=0), entropy(p).mean(dim=0)
    found = {
        "prediction": (mean > 0.5).long(), "probabilities": mean, "submodels": p.transpose(0, 1),
        "entropy": entropy(mean), "expected_entropy": expected, "mutual_information": entropy(mean) - expected,
        "logits": logits.transpose(0, 1),
    }  # fmt: skip
    return {name: values.numpy() for name, values in found.items()}


def assert_row_by_row(rows: list[dict[str, Any]], wanted: dict[str, NDArray[Any]]) -> None:
    """Every number of /predict."""
    names = np.array(LABELS)
    for name in ("probabilities", *SCORES, "logits"):
        np.testing.assert_allclose([row[name] for row in rows], wanted[name], rtol=1e-5, atol=3e-6, err_msg=name)
    for name in SCORES:
        found = [row["row_scores"][name] for row in rows]
        np.testing.assert_allclose(found, wanted[name].mean(axis=-1), rtol=1e-5, atol=3e-6, err_msg=name)
    members = np.array([[one["probabilities"] for one in row["submodels"]] for row in rows])
    np.testing.assert_allclose(members, wanted["submodels"], rtol=1e-5, atol=3e-6)
    assert [row["labels"] for row in rows] == [names[on == 1].tolist() for on in wanted["prediction"]]


def tensors(client: httpx.Client, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every output over the Open Inference Protocol."""
    given = {"name": "input", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
    answer = client.post("/v2/models/traits/infer", json={"inputs": [given]}).raise_for_status().json()
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer["outputs"]}


@pytest.mark.slow
def test_the_service_answers_as_the_torch_loop_over_the_masks(line: Path, traits: Dataset) -> None:
    x, truth = traits.test.inputs[:], traits.test.labels
    contract = artefact.read(line / "repository", "traits")[1]
    assert (contract.head.task, contract.head.labels) == ("multilabel", LABELS)
    wanted = torch_loop(load(line / "traits.pt")[1], x, contract.head.temperature)
    everything = ["prediction", "probabilities", *SCORES, "row_scores", "percentiles", "prediction_set", "decision"]
    asked = {"inputs": x.tolist(), "outputs": [*everything, "submodels", "logits"]}
    with as_process(line / "repository") as (client, _):
        rows = client.post("/predict", json=asked).raise_for_status().json()["predictions"]
        found = tensors(client, x[:64])
    assert_row_by_row(rows, wanted)
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, wanted[name][:64], rtol=1e-5, atol=3e-6, err_msg=name)

    assert contract.head.evaluation is not None
    assert contract.head.evaluation.exact_match == (wanted["prediction"] == truth).all(axis=1).mean()
    assert contract.head.evaluation.exact_match > 0.8
    actions = [row["decision"]["action"] for row in rows]
    assert np.mean([action == "defer" for action in actions]) == pytest.approx(0.2, abs=0.1)
    wrong = (wanted["prediction"] != truth).any(axis=1)
    accepted = np.array([action == "accept" for action in actions])
    assert wrong[accepted].mean() < wrong.mean() / 2
    held = [
        np.isin(np.array(LABELS)[on], row["prediction_set"]["labels"]).mean() if on.any() else 1
        for row, on in zip(rows, truth)
    ]
    assert np.mean(held) > 0.85  # 0.9 is guaranteed on average over calibrations


@pytest.mark.slow
def test_it_is_evaluated_and_recalibrated_on_a_file_of_rows(line: Path, tmp_path: Path, traits: Dataset) -> None:
    printed = workshop("evaluate", "traits", "--repository", line / "repository")
    for label in LABELS:
        assert f"{label}: on in " in printed
    assert "90 % prediction sets: contain " in printed
    assert "OOD, noise: told from test rows with AUROC/FPR95 entropy " in printed

    repository, rows = tmp_path / "repository", tmp_path / "rows.npz"
    (repository / "traits" / "1").mkdir(parents=True)
    for file in (line / "repository" / "traits" / "1").iterdir():
        (repository / "traits" / "1" / file.name).write_bytes(file.read_bytes())
    np.savez(rows, inputs=traits.calibration.inputs[:200], labels=traits.calibration.labels[:200].astype(np.uint8))
    workshop("calibrate", "traits:1", "--repository", repository, "--data", rows, "--policy", "none")
    before, after = (artefact.read(repository, "traits", version)[1] for version in (1, 2))
    assert after.head.calibration is not None
    assert (after.head.calibration.rows, after.head.temperature != before.head.temperature) == (200, True)
    wanted = torch_loop(load(line / "traits.pt")[1], traits.test.inputs[:9], after.head.temperature)
    with as_process(repository) as (client, _):
        found = tensors(client, traits.test.inputs[:9])
    for name, values in found.items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-5, atol=3e-6, err_msg=name)


def network_from_elsewhere() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))


@pytest.mark.slow
def test_a_network_from_elsewhere_is_exported_by_its_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    with torch.no_grad():
        labels = rng.random((200, 2)) < (4 * network_from_elsewhere()(torch.from_numpy(x))).sigmoid().numpy()
    np.savez(tmp_path / "rows.npz", inputs=x, labels=labels)
    command = (
        "export", "--network", f"{__name__}:network_from_elsewhere", "--no-checkpoint", "--input-shape", "6",
        "--labels", "a,b", "--name", "theirs", "--data", tmp_path / "rows.npz", "--repository", tmp_path / "repository",
    )  # fmt: skip
    assert "labels: expected whole numbers, one class index for each row, got bool" in workshop(*command, fails=True)
    workshop(*command, "--task", "multilabel")
    contract = artefact.read(tmp_path / "repository", "theirs")[1]
    assert (contract.head.task, contract.num_submodels) == ("multilabel", 1)
    assert contract.head.temperature < 0.5
