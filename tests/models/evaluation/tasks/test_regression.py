from math import sqrt

import numpy as np
import onnx
import pytest
from scipy.stats import norm

from app.contract.tasks.regression import RegressionEvaluation
from models import artefact
from models.data import DatasetError
from models.evaluation.adequacy import CalibrationError
from models.evaluation.answers import Answers, Outputs
from models.evaluation.likelihood import fit_variance_factor, log_mixture
from models.evaluation.tasks.regression import RegressionEvaluator
from models.evaluation.tasks.task import CalibrationRows, Fit
from tests import artefacts, graphs
from tests.models.evaluation.answered import NUMBERS, REGRESSOR, calibration

TASK = RegressionEvaluator()
BARE = graphs.regressor(aleatoric=False)[1].head.model_copy(update={"calibration": None})
"""Without variances of its submodels."""
FOUND: Outputs = {**NUMBERS, "submodel_variances": np.array([[[3, 8], [2, 8]], [[1, 1], [1, 4]]], np.float32)}
"""Predicted are [1, 2] and [3, 4], with a spread of [2, 3] and [1, 0]."""
rng = np.random.default_rng(3)
ROWS = rng.random((200, 3), np.float32)
TRUTH = rng.normal(0, 1, (200, 2)).astype(np.float32)
HALVES = np.arange(0, 200, 2), np.arange(1, 200, 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((1, 2)), r"expected true values \[3, 2\], one for each row and target, got float64 \[1, 2\]"),
        (np.zeros((3, 3)), r"expected true values \[3, 2\], one for each row and target, got float64 \[3, 3\]"),
        (np.zeros(3), r"expected true values \[3, 2\], one for each row and target, got float64 \[3\]"),
        (np.zeros((3, 2), np.int64), r"expected true values \[3, 2\], .* got int64 \[3, 2\]"),
        (np.array([[0, 1], [np.nan, 0], [0, 0]]), r"labels\[1\]\[0\]: expected finite numbers, got nan"),
        (np.array([[0, 1], [0, np.inf], [0, 0]]), r"labels\[1\]\[1\]: expected finite numbers, got inf"),
    ],
)
def test_labels_that_are_no_true_values_are_named(labels: np.ndarray, message: str) -> None:
    TASK.check_labels(REGRESSOR, np.zeros((3, 2), np.float32), (3,))
    with pytest.raises(DatasetError, match=message):
        TASK.check_labels(REGRESSOR, labels, (3,))


def test_there_must_be_rows() -> None:
    with pytest.raises(DatasetError, match="there are no rows"):
        TASK.check_labels(REGRESSOR, np.zeros((0, 2), np.float32), (0,))


def test_coverages_alone_can_be_guaranteed() -> None:
    TASK.check_guarantees((0.5, 0.9), None)
    TASK.check_guarantees(None, None)
    with pytest.raises(ValueError, match="coverages: expected different numbers between 0 and 1, got 0"):
        TASK.check_guarantees((0,), None)
    for risks in ((0.1,), ()):
        with pytest.raises(ValueError, match="risks: a regressor's answers are neither right nor wrong"):
            TASK.check_guarantees(None, risks)


def test_one_half_of_the_rows_fits_whatever_the_file_held_before() -> None:
    model, contract = graphs.regressor(aleatoric=True)
    artefact.set_temperature(model, contract.head, 1.0)
    raw = artefacts.run(model, ROWS, ["submodels", "submodel_variances"])
    means, variances = raw["submodels"], raw["submodel_variances"]
    artefact.set_temperature(model, contract.head, 7.0)
    fitting, guaranteeing = HALVES
    found = TASK.fit(model, contract, contract.head, CalibrationRows(ROWS, TRUTH, fitting, guaranteeing))
    expected = fit_variance_factor(TRUTH[fitting], means[fitting], variances[fitting])
    assert found.temperature == pytest.approx(expected, rel=1e-5)
    assert found.temperature != pytest.approx(fit_variance_factor(TRUTH, means, variances), rel=0.01)
    assert found.nll_before == pytest.approx(-log_mixture(TRUTH, means, variances).mean(), rel=1e-6)
    assert found.nll_after == pytest.approx(-log_mixture(TRUTH, means, expected * variances).mean(), rel=1e-6)
    np.testing.assert_allclose(found.outputs["submodel_variances"], variances, rtol=1e-5)
    served = artefacts.run(model, ROWS, ["submodel_variances"])["submodel_variances"]
    np.testing.assert_allclose(served, found.temperature * variances, rtol=1e-5)


def test_without_variances_nothing_is_fitted() -> None:
    model, contract = graphs.regressor(aleatoric=False)
    found = TASK.fit(model, contract, BARE, CalibrationRows(ROWS, TRUTH, *HALVES))
    assert (found.temperature, found.nll_before, found.nll_after) == (1.0, None, None)
    assert found.outputs["prediction"].shape == (200, 2)
    told = calibration().model_copy(update={"nll_before": None})
    assert TASK.describe_fit(told) == "no variance is predicted, so no temperature is fitted"


def checked(errors: float, shuffled: bool = False) -> list[str]:
    """The warnings for true values that lie so far from the predictions, in units of the predicted spread."""
    model, contract = graphs.regressor(aleatoric=True)
    found = artefacts.run(model, ROWS, ["prediction", "variance"])
    noise = np.random.default_rng(0).normal(0, 1, (200, 2)) * np.sqrt(found["variance"])
    middle = np.roll(found["prediction"], 77, axis=0) if shuffled else found["prediction"]
    rows = CalibrationRows(ROWS, (middle + errors * noise).astype(np.float32), *HALVES)
    return TASK.check_calibration(contract.head, rows, TASK.fit(model, contract, contract.head, rows))


def test_a_factor_at_an_end_of_its_range() -> None:
    assert checked(1) == []
    with pytest.raises(CalibrationError, match=r"errors are 20 times as large as predicted, or more\. Check that"):
        checked(1000)


def test_errors_far_smaller_than_predicted_are_warned_of() -> None:
    model, contract = graphs.regressor(aleatoric=True)
    for one in model.graph.initializer:  # two submodels that agree: only the predicted variance spreads
        if one.name in ("weights", "spreads"):
            values = np.array(onnx.numpy_helper.to_array(one))
            values[:, 2:] = values[:, :2]
            one.CopyFrom(onnx.numpy_helper.from_array(values, one.name))
    truth = artefacts.run(model, ROWS, ["prediction"])["prediction"] + np.float32(1e-4)
    rows = CalibrationRows(ROWS, truth, *HALVES)
    (warning,) = TASK.check_calibration(contract.head, rows, TASK.fit(model, contract, contract.head, rows))
    assert "errors are a twentieth of the predicted, or less" in warning


def test_predictions_that_do_not_go_with_the_truth_are_warned_of() -> None:
    found = checked(1, shuffled=True)
    assert ["hardly better than in random order" in one for one in found] == [True, True]
    assert "'price'" in found[0]


def test_constant_targets_are_refused() -> None:
    for aleatoric in (True, False):
        contract = graphs.regressor(aleatoric=aleatoric)[1]
        truth = TRUTH.copy()
        truth[:, 1] = 3
        rows = CalibrationRows(ROWS, truth, *HALVES)
        with pytest.raises(CalibrationError, match="same true value of 'weight'"):
            TASK.check_calibration(contract.head, rows, Fit(1.0, {}))


def test_intervals_are_guaranteed_by_errors_in_units_of_the_spread() -> None:
    answers = Answers(FOUND, np.array([[3, 8], [3, 4]], np.float32))  # errors are [2, 6] and [0, 0]
    found = TASK.guarantee(answers, np.arange(2), (0.5, 0.9))
    # ⌈3 · 0.5⌉ = 2 of 2; an exact answer without variance counts as 0. For 0.9 there are too few rows.
    assert [(one.coverage, one.factors, one.rows) for one in found.intervals] == [(0.5, (1.0, 2.0), 2)]
    assert found.prediction_sets == ()
    (second,) = TASK.guarantee(answers, np.array([1]), (0.5,)).intervals
    assert (second.factors, second.rows) == ((0.0, 0.0), 1)
    assert [one.coverage for one in TASK.guarantee(answers, np.arange(2), None).intervals] == [0.5]


def test_an_error_without_variance_has_no_interval() -> None:
    answers = Answers(FOUND, np.array([[3, 8], [3, 5]], np.float32))
    assert TASK.guarantee(answers, np.arange(2), (0.5,)).intervals == ()
    (lower,) = TASK.guarantee(answers, np.arange(2), (0.3,)).intervals  # ⌈3 · 0.3⌉ = 1 of 2
    assert lower.factors == (0.0, 2.0)


def test_figures_of_a_contract() -> None:
    labels = np.array([[4, 11], [3, 4]], np.float32)  # errors are [3, 9] and [0, 0]
    found = TASK.evaluate(REGRESSOR, "mine", Answers(FOUND, labels))
    assert (found.data, found.rows) == ("mine", 2)
    assert found.rmse == (pytest.approx(3 / sqrt(2)), pytest.approx(9 / sqrt(2)))
    density = norm.pdf(labels[:, None], FOUND["submodels"], np.sqrt(FOUND["submodel_variances"])).prod(axis=-1)
    assert found.nll == pytest.approx(-np.log(density.mean(axis=1)).mean())
    # ± [1, 2] · spread for 80 %, twice that for 90 %
    assert found.coverage == {"80": (0.5, 0.5), "90": (1.0, 1.0)}
    assert found.width == {"80": (3.0, 6.0), "90": (6.0, 12.0)}
    assert [one.level for one in found.coverage_by_level] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert found.risk_coverage["entropy"][-1].rmse == tuple(float(f"{rmse:.5g}") for rmse in found.rmse)


def test_figures_without_variances_and_without_a_calibration() -> None:
    found = TASK.evaluate(BARE, "mine", Answers(FOUND, FOUND["prediction"]))
    assert (found.rmse, found.nll, found.coverage, found.width) == ((0.0, 0.0), None, {}, {})
    assert (found.coverage_by_level, found.risk_coverage) == ((), {})


def test_errors_are_squared_and_their_mean_is_in_the_unit_of_the_target() -> None:
    answers = Answers(FOUND, np.array([[4, 0], [3, 4]], np.float32))
    assert TASK.errors(answers).tolist() == [[9, 4], [0, 0]]
    assert TASK.mean_error(TASK.errors(answers)) == [pytest.approx(3 / sqrt(2)), pytest.approx(sqrt(2))]
    assert TASK.error_name == "RMSE"
    assert TASK.wrong(answers) is None  # type: ignore[func-returns-value]  # it is what is guaranteed
    assert TASK.prediction_sets(REGRESSOR, answers) == {}


def test_what_is_printed() -> None:
    plain = RegressionEvaluation(data="curves", rows=9, rmse=(1.5, 0.25))
    assert TASK.describe(plain) == ["curves, 9 test rows: RMSE 1.5000 0.2500"]
    more = plain.model_copy(update={"nll": 2.0, "coverage": {"80": (0.75, 0.5)}, "width": {"80": (3.0, 6.0)}})
    assert TASK.describe(more) == [
        "curves, 9 test rows: RMSE 1.5000 0.2500, NLL 2.0000",
        "80 % intervals: contain 75.0, 50.0 % of the true values, and are 3, 6 wide on average",
    ]
