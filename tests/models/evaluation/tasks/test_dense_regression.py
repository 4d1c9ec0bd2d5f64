from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from app.contract.head import Target
from app.contract.schema import Contract
from app.contract.tasks import regression
from app.contract.tensor import Tensor
from models import artefact
from models.data import DatasetError, Split
from models.evaluation.adequacy import CalibrationError
from models.evaluation.calibration import calibrate
from models.evaluation.evaluation import evaluate
from models.evaluation.likelihood import fit_variance_factor
from models.evaluation.policy_outcome import apply_policy
from models.evaluation.respondent import Respondent
from models.evaluation.rows import check_rows
from models.evaluation.tasks.dense_regression import DenseRegressionEvaluator
from models.evaluation.tasks.task import CalibrationRows
from tests import artefacts, dense_graphs
from tests.graphs import parsed
from tests.models.evaluation.tasks.segmented import COUNT, pictures

TASK = DenseRegressionEvaluator()
HALVES = np.arange(0, COUNT, 2), np.arange(1, COUNT, 2)
GRID = (2, 4)
"""Of pictures of 8 × 16 by patches of 4."""
INPUTS = pictures()


def spread() -> tuple[onnx.ModelProto, Contract]:
    """A regressor of 2 submodels and 1 target that predicts a variance for each of 6 steps: the input and twice it,
    with a variance of ¼."""
    grid, base = (6,), dense_graphs.density()[1]
    changed = {"grid": grid, "outputs": regression.outputs(True, grid), "targets": (Target(name="y", unit="m"),)}
    given = Tensor(name="input", dtype="float32", shape=("B", 6), unit="x")
    contract = base.model_copy(
        update={"inputs": (given,), "heads": (base.head.model_copy(update=changed),), "axes": {}}
    )
    nodes = """
        flat = Unsqueeze(input, one)
        each = Unsqueeze(flat, one)
        submodels = Mul(each, factors)
        none = Mul(submodels, zero)
        constant = Add(none, quarter)
        submodel_variances = Mul(constant, temperature)
        prediction = ReduceMean<keepdims = 0>(submodels, one)
        middle = ReduceMean<keepdims = 1>(submodels, one)
        off = Sub(submodels, middle)
        squared = Mul(off, off)
        epistemic_variance = ReduceMean<keepdims = 0>(squared, one)
        aleatoric_variance = ReduceMean<keepdims = 0>(submodel_variances, one)
        variance = Add(epistemic_variance, aleatoric_variance)
        logarithm = Log(variance)
        entropy = ReduceSum<keepdims = 0>(logarithm, one)
        expected_entropy = Identity(entropy)
        mutual_information = Sub(entropy, expected_entropy)
        row_prediction = ReduceMean<keepdims = 0>(prediction, two)
        row_submodels = ReduceMean<keepdims = 0>(submodels, three)
        row_entropy = ReduceMean<keepdims = 0>(entropy, one)
        row_expected_entropy = Identity(row_entropy)
        row_mutual_information = ReduceMean<keepdims = 0>(mutual_information, one)
    """
    model = parsed("spread", contract, nodes)
    for name, values in {
        "one": [1], "two": [2], "three": [3], "factors": np.array([1, 2], np.float32).reshape(1, 2, 1, 1),
        "zero": np.float32(0), "quarter": np.float32(0.25), "temperature": np.float32(1),
    }.items():  # fmt: skip
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    return model, contract


ROWS = np.random.default_rng(1).normal(0, 1, (COUNT, 6)).astype(np.float32)


def truth_of(inputs: NDArray[Any], factor: float, seed: int = 0) -> NDArray[np.float32]:
    """Drawn as one of the submodels says, with that many times its variance."""
    rng = np.random.default_rng(seed)
    means = inputs[:, None] * rng.choice([1, 2], (len(inputs), 1, inputs.shape[1]))
    return (means + rng.normal(0, np.sqrt(factor / 4), means.shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.zeros((2, *GRID), np.float32),
            r"true values \[2, 1, 2, 4\], one for each row, target and cell, got float",
        ),
        (np.zeros((2, 1, *GRID), np.int64), "got int64"),
        (np.full((2, 1, *GRID), np.nan, np.float32), r"labels\[0\]\[0\]\[0\]\[0\]: expected finite numbers, got nan"),
        (np.zeros((0, 1, *GRID), np.float32), "there are no rows"),
    ],
)
def test_labels_that_are_no_maps_of_numbers_are_named(labels: NDArray[Any], message: str) -> None:
    contract = dense_graphs.density()[1]
    check_rows(contract, Split(INPUTS[:2], np.zeros((2, 1, *GRID), np.float32)))
    with pytest.raises(DatasetError, match=message):
        check_rows(contract, Split(INPUTS[: len(labels)], labels))


def test_a_factor_is_fitted_to_cells_of_one_half_of_the_rows() -> None:
    model, contract = spread()
    truth = truth_of(ROWS, 4.0)
    raw = artefacts.run(model, ROWS, ["submodels", "submodel_variances"])
    artefact.set_temperature(model, contract.head, 7.0)
    found = TASK.fit(model, contract, contract.head, CalibrationRows(ROWS, truth, *HALVES))
    expected = fit_variance_factor(*(one[HALVES[0]] for one in (truth, *raw.values())))
    assert found.temperature == pytest.approx(expected, rel=1e-3)
    assert found.temperature == pytest.approx(4, rel=0.2)
    assert found.nll_after < found.nll_before


def test_new_rows_are_within_intervals_as_guaranteed() -> None:
    model, contract = spread()
    fitted = calibrate(model, contract, contract.head, "drawn", Split(ROWS, truth_of(ROWS, 4.0)))
    assert [one.coverage for one in fitted.intervals] == [0.5, 0.8, 0.9, 0.95]
    assert {one.score for one in fitted.thresholds} == {"entropy", "expected_entropy", "mutual_information"}
    contract = contract.with_head(contract.head, calibration=fitted)
    other = np.random.default_rng(2).normal(0, 1, (COUNT, 6)).astype(np.float32)
    split = Split(other, truth_of(other, 4.0, seed=3))
    found = evaluate(model, contract, contract.head, "drawn", split)
    for percent, (share,) in found.coverage.items():
        assert share == pytest.approx(float(percent) / 100, abs=0.03)
    served = artefacts.run(model, other, ["prediction", "variance"])
    assert found.rmse == (pytest.approx(np.sqrt(np.square(served["prediction"] - split.labels).mean()), rel=1e-5),)
    assert found.width["80"] == (
        pytest.approx(2 * fitted.intervals[1].factors[0] * np.sqrt(served["variance"]).mean(), rel=1e-5),
    )
    assert found.nll is not None
    for one in found.coverage_by_level:  # the truth is drawn from the mixture that is predicted
        assert one.coverage == (pytest.approx(one.level, abs=0.04),)
    assert found.risk_coverage["entropy"][-1].rmse == (pytest.approx(found.rmse[0], rel=1e-4),)
    outcome = apply_policy(contract.head, Respondent(model, contract, contract.head).answer(split))
    assert TASK.mean_error(outcome.errors) == [pytest.approx(found.rmse[0])]
    assert outcome.sets == {}


def test_without_variances_intervals_follow_from_how_far_submodels_differ() -> None:
    model, contract = dense_graphs.density()
    prediction = artefacts.run(model, INPUTS, ["prediction"])["prediction"]
    noise = np.random.default_rng(0).normal(0, 0.2, prediction.shape)
    fitted = calibrate(model, contract, contract.head, "drawn", Split(INPUTS, (prediction + noise).astype(np.float32)))
    assert (fitted.temperature, fitted.nll_before, fitted.quantiles, fitted.thresholds) == (1.0, None, {}, ())
    assert len(fitted.intervals) > 2
    with pytest.raises(CalibrationError, match="all 300 rows have the same true value of 'people'"):
        calibrate(model, contract, contract.head, "flat", Split(INPUTS, np.ones_like(prediction)))
