from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks import multilabel
from app.contract.tensor import Tensor
from models.data import DatasetError, Split
from models.evaluation.adequacy import CalibrationError
from models.evaluation.calibration import calibrate
from models.evaluation.evaluation import evaluate
from models.evaluation.likelihood import binary_cross_entropy, fit_label_temperature
from models.evaluation.policy_outcome import apply_policy
from models.evaluation.respondent import Respondent
from models.evaluation.rows import check_rows
from models.evaluation.tasks.dense_multilabel import DenseMultilabelEvaluator
from models.evaluation.tasks.task import CalibrationRows
from tests import artefacts, dense_graphs
from tests.graphs import parsed

TASK = DenseMultilabelEvaluator()
COUNT, T = 300, 12
HALVES = np.arange(0, COUNT, 2), np.arange(1, COUNT, 2)
WEIGHT = np.array([[3, -2], [2, -4]], np.float32)
"""[N, K]: the logits of a step are its value times this."""


def steps() -> tuple[onnx.ModelProto, Contract]:
    """Two labels for each of 12 steps; its scores only tell how sure a row is."""
    grid = (T,)
    head = Head(task="multilabel", labels=("high", "low"), grid=grid, outputs=multilabel.outputs(grid))
    given = Tensor(name="input", dtype="float32", shape=("B", T), unit="x")
    contract = dense_graphs.density()[1].model_copy(update={"inputs": (given,), "heads": (head,), "axes": {}})
    nodes = """
        flat = Unsqueeze(input, one)
        each = Unsqueeze(flat, one)
        logits = Mul(each, weight)
        tempered = Div(logits, temperature)
        submodels = Sigmoid(tempered)
        probabilities = ReduceMean<keepdims = 0>(submodels, one)
        on = Greater(probabilities, half)
        prediction = Cast<to = 7>(on)
        apart = Sub(probabilities, half)
        sure = Abs(apart)
        entropy = Neg(sure)
        expected_entropy = Identity(entropy)
        mutual_information = Sub(entropy, expected_entropy)
        row_entropy = ReduceMean<keepdims = 0>(entropy, both)
        row_expected_entropy = ReduceMean<keepdims = 0>(expected_entropy, both)
        row_mutual_information = ReduceMean<keepdims = 0>(mutual_information, both)
        whole = Cast<to = 1>(prediction)
        row_shares = ReduceMean<keepdims = 0>(whole, two)
    """
    model = parsed("steps", contract, nodes)
    for name, values in {
        "one": [1], "two": [2], "both": [1, 2], "weight": WEIGHT[None, :, :, None], "half": np.float32(0.5),
        "temperature": np.float32(1),
    }.items():  # fmt: skip
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    return model, contract


def drawn(sharpness: float = 1.0, seed: int = 0) -> Split:
    """Labels as probable as the submodels' mean says, of logits that many times as large."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(0, 1, (COUNT, T)).astype(np.float32)
    probable = (1 / (1 + np.exp(-sharpness * WEIGHT[:, :, None] * inputs[:, None, None]))).mean(axis=1)
    return Split(inputs, rng.random(probable.shape) < probable)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, T), bool), r"whole numbers 0 and 1, \[2, 2, 12\], one for each row, label and cell, got bool"),
        (np.zeros((2, 2, T)), "got float64"),
        (np.full((2, 2, T), 2), r"labels\[0\]\[0\]\[0\]: expected 0 or 1, got 2"),
        (np.zeros((0, 2, T), bool), "there are no rows"),
    ],
)
def test_labels_that_are_no_maps_of_labels_are_named(labels: NDArray[Any], message: str) -> None:
    contract, inputs = steps()[1], np.zeros((2, T), np.float32)
    check_rows(contract, Split(inputs, np.ones((2, 2, T), np.uint8)))
    with pytest.raises(DatasetError, match=message):
        check_rows(contract, Split(inputs[: len(labels)], labels))


def test_a_temperature_is_fitted_to_cells_of_one_half_of_the_rows() -> None:
    (model, contract), split = steps(), drawn(2.0)
    logits = artefacts.run(model, split.inputs, ["logits"])["logits"]
    rows = CalibrationRows(split.inputs, split.labels, *HALVES)
    found = TASK.fit(model, contract, contract.head, rows)
    expected = fit_label_temperature(logits[HALVES[0]], split.labels[HALVES[0]])
    assert found.temperature == pytest.approx(expected, rel=1e-4)
    assert found.temperature == pytest.approx(0.5, rel=0.1)
    assert found.nll_after == pytest.approx(binary_cross_entropy(logits, split.labels, found.temperature))
    assert TASK.check_calibration(contract.head, rows, found) == []


def test_rows_that_cannot_bear_a_calibration_are_refused() -> None:
    split = drawn(2.0)
    for labels, message in (
        (np.roll(split.labels, 1, axis=0), "no better than in random order"),
        (np.ones_like(split.labels), "all 3600 cells have the same labels: give cells with each and without it"),
    ):
        model, contract = steps()
        rows = CalibrationRows(split.inputs, labels, *HALVES)
        fit = TASK.fit(model, contract, contract.head, rows)
        with pytest.raises(CalibrationError, match=message):
            TASK.check_calibration(contract.head, rows, fit)


def test_new_rows_are_answered_as_guaranteed() -> None:
    model, contract = steps()
    fitted = calibrate(model, contract, contract.head, "drawn", drawn(2.0), risks=(0.2,))
    assert {(one.score, one.guarantee) for one in fitted.thresholds} >= {("entropy", "risk"), ("entropy", "coverage")}
    contract = contract.with_head(contract.head, calibration=fitted)
    split = drawn(2.0, seed=5)
    answers = Respondent(model, contract, contract.head).answer(split)
    outcome = apply_policy(contract.head, answers)
    served = artefacts.run(model, split.inputs, ["prediction", "probabilities", "logits"])
    wrong = (served["prediction"] == 1) != split.labels
    np.testing.assert_allclose(outcome.errors[:, 0], wrong.mean(axis=(1, 2)))
    for coverage, (held, sizes) in outcome.sets.items():
        assert held.mean() > coverage - 0.02
        assert 0.5 < sizes.mean() < 2
    found = evaluate(model, contract, contract.head, "drawn", split)
    assert isinstance(found, multilabel.MultilabelEvaluation)
    assert found.exact_match == pytest.approx((~wrong).all(axis=1).mean())
    assert found.nll == pytest.approx(
        binary_cross_entropy(served["logits"], split.labels, fitted.temperature), rel=1e-5
    )
    assert found.brier == pytest.approx(np.square(served["probabilities"] - split.labels).mean())
    both = (split.labels & ~wrong).sum()
    assert found.micro_f1 == pytest.approx(2 * both / (split.labels.sum() + served["prediction"].sum()))
    assert found.ece < found.ece_uncalibrated
    assert TASK.describe(found)[0].startswith("drawn, 300 test rows: exact match 0.")
