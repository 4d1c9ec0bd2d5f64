"""What plans are held against, and that a wrong one is found; for whole exports see test_pipeline, test_regression."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from app.contract.axis import FreeAxis, Padding
from app.contract.tasks import TaskName
from app.contract.tensor import Tensor
from models import artefact, runtime
from models.data import Dataset
from models.export import ExportOptions, VerificationError, export
from models.export.heads import TASKS as HEADS
from models.export.options import HeadOptions
from models.export.verification import verify, verify_float16
from models.export.verification.classification import classifier_reference
from models.export.verification.feed import rows_at_once
from models.export.verification.loop import torch_loop
from models.export.verification.padding import padded
from models.export.verification.regression import regressor_reference
from models.export.verification.tasks import TASKS
from models.networks.mlp import mlp
from tests import graphs


def test_the_reference_is_the_definition() -> None:
    logits = np.log([[[0.5, 0.5], [0.25, 0.75]]])  # one row, two submodels
    found = classifier_reference(logits, 1.0)
    mean = np.array([0.375, 0.625])
    entropy = -(mean * np.log(mean)).sum()
    expected = (np.log(2) - 0.25 * np.log(0.25) - 0.75 * np.log(0.75)) / 2
    np.testing.assert_allclose(found["probabilities"], [mean])
    assert found["prediction"].tolist() == [1]
    assert found["entropy"] == pytest.approx(entropy)
    assert found["expected_entropy"] == pytest.approx(expected)
    assert found["mutual_information"] == pytest.approx(entropy - expected)
    assert found["energy"] == pytest.approx(0, abs=1e-12)  # minus ln Σ exp: the logits are ln p


def test_a_temperature_flattens() -> None:
    logits = np.array([[[4.0, 0.0]]])
    assert classifier_reference(logits, 2.0)["probabilities"][0, 0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_verify_notices_a_wrong_artefact(digits_network: nn.Module, digits_repository: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    x = torch.from_numpy(digits.test.inputs)
    assert verify(model, contract, digits_network, x) <= 1
    artefact.set_temperature(model, contract.head, contract.head.temperature * 1.001)
    with pytest.raises(VerificationError, match="probabilities at batch size 1 differs"):
        verify(model, contract, digits_network, x)


def test_verify_float16_notices_a_wrong_artefact(tmp_path: Path) -> None:
    network = mlp((6,), 3, hidden=(16,))
    export(
        network, torch.rand(2, 6), ExportOptions(labels="abc", precision="float16"), name="mine", repository=tmp_path
    )
    model, contract, _ = artefact.read(tmp_path, "mine")
    rows = torch.rand(50, 6) * 4
    assert verify_float16(model, contract, network.eval(), rows)[1] <= 5e-3
    artefact.set_temperature(model, contract.head, 1.5)
    with pytest.raises(VerificationError, match="export this network in float32"):
        verify_float16(model, contract, network, rows)


def test_a_small_difference_of_large_means_is_not_lost() -> None:
    raw = np.array([[[10000.001], [10000.002]]], np.float32)
    found = regressor_reference(raw, 1, 1.0)
    assert found["epistemic_variance"] == pytest.approx(np.var(raw[0, :, 0].astype(np.float64)))


def test_what_is_not_finite_does_not_agree(
    digits_network: nn.Module, digits_repository: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, contract, _ = artefact.read(digits_repository, "digits")
    run = runtime.run_session

    def broken(*arguments: object) -> dict[str, np.ndarray]:
        found = run(*arguments)  # type: ignore[arg-type]
        return {**found, "entropy": np.full_like(found["entropy"], np.nan)}

    monkeypatch.setattr(runtime, "run_session", broken)
    with pytest.raises(VerificationError, match="entropy at batch size 1 differs from the torch loop by nan times"):
        verify(model, contract, digits_network, torch.from_numpy(digits.test.inputs))


def test_the_loop_runs_row_by_row_where_it_is_asked(digits_network: nn.Module, digits: Dataset) -> None:
    x = torch.from_numpy(digits.test.inputs[:3])
    (together,), (alone,) = torch_loop(digits_network, [x]), torch_loop(digits_network, x.split(1))
    assert together.shape == alone.shape == (3, 4, 10)
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


TASKS_OF_MAPS: dict[TaskName, tuple[int, HeadOptions]] = {
    "classification": (3, HeadOptions(labels="abc")), "multilabel": (3, HeadOptions(labels="abc", task="multilabel")),
    "regression": (4, HeadOptions(targets=[("x", "m"), ("y", "m")])),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS_OF_MAPS)
def test_each_wrong_output_of_a_map_is_seen(task: TaskName) -> None:
    width, options = TASKS_OF_MAPS[task]
    head = HEADS[task].head("", width, (5, 6), options)
    raw = np.random.default_rng(0).normal(size=(2, 4, width, 5, 6)).astype(np.float32)
    right = TASKS[task].expected(raw, head)
    assert set(right) == {tensor.name for tensor in head.outputs}
    assert max(TASKS[task].shares(right, raw, head).values()) < 1e-6
    for name, values in right.items():
        wrong = {**right, name: 1 - values if values.dtype == np.int64 else values + 2e-3}
        shares = TASKS[task].shares(wrong, raw, head)
        assert shares[name] > 1, name
        assert all(share < 1 for other, share in shares.items() if other not in (name, "row_shares"))


def test_few_rows_of_large_maps_are_compared_at_once() -> None:
    contract = graphs.classifier(GIVEN, "abc", submodels=4, axes={"T": FreeAxis(least=1, most=9)})[1]
    head = HEADS["classification"].head("", 3, ("H/8", 10), HeadOptions(labels="abc"))
    dense = contract.model_copy(update={"heads": (head,)})
    assert rows_at_once(dense, {"H": 800}) == 2**23 // (4 * 3 * 100 * 10)
    assert rows_at_once(contract, {}) == 2**23 // (4 * 3)


GIVEN = Tensor(name="ids", dtype="int64", shape=("B", "T"), unit="id", range=(0, 9))
MARK = Tensor(name="real", dtype="bool", shape=("B", "T"), unit="")


def test_rows_are_padded_as_the_contract_says() -> None:
    padding = Padding(fill={"ids": 7}, mark="real")
    contract = graphs.classifier(MARK, "abc", axes={"T": FreeAxis(least=1, most=9)})[1]
    contract = contract.model_copy(
        update={"inputs": (GIVEN, MARK), "axes": {"T": FreeAxis(least=1, most=9, padding=padding)}}
    )
    ids, real = padded((torch.tensor([[1, 2]]), torch.tensor([[True, True]])), contract, "T", 4)
    assert ids.tolist() == [[1, 2, 7, 7]]
    assert real.tolist() == [[True, True, False, False]]
    assert (ids.dtype, real.dtype) == (torch.int64, torch.bool)
