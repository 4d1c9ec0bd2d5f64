from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.calibration import PredictionSet
from app.contract.tasks.multilabel import MultilabelEvaluation
from models.data import DatasetError, Split
from models.evaluation.adequacy import CalibrationError
from models.evaluation.answers import Answers
from models.evaluation.calibration import calibrate
from models.evaluation.likelihood import binary_cross_entropy, fit_label_temperature
from models.evaluation.tasks.multilabel import MultilabelEvaluator
from models.evaluation.tasks.task import CalibrationRows
from tests import artefacts, graphs
from tests.models.evaluation.answered import calibration

TASK = MultilabelEvaluator()
HEAD = graphs.multilabel()[1].head
ROWS = np.random.default_rng(3).random((400, 3), np.float32)
LOGITS = artefacts.run(graphs.multilabel()[0], ROWS, ["logits"])["logits"]
WHICH = np.arange(0, 400, 2), np.arange(1, 400, 2)


def drawn(sharpness: float = 1.0) -> NDArray[np.bool_]:
    """Labels as probable as the submodels' mean says, of logits that many times as large."""
    probable = (1 / (1 + np.exp(-sharpness * LOGITS))).mean(axis=1)
    return np.random.default_rng(0).random(probable.shape) < probable


def checked(labels: NDArray[Any]) -> tuple[float, list[str]]:
    model, contract = graphs.multilabel()
    rows = CalibrationRows(ROWS, labels, *WHICH)
    fit = TASK.fit(model, contract, contract.head, rows)
    return fit.temperature, TASK.check_calibration(contract.head, rows, fit)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2), bool), r"booleans, or whole numbers 0 and 1, \[2, 3\], .* got bool \[2, 2\]"),
        (np.zeros((2, 3), np.float32), r"got float32 \[2, 3\]"),
        (np.zeros(2, np.int64), r"got int64 \[2\]"),
        (np.array([[0, 1, 0], [0, 0, 2]]), r"labels\[1\]\[2\]: expected 0 or 1, got 2"),
    ],
)
def test_labels_that_are_not_on_or_off_are_named(labels: NDArray[Any], message: str) -> None:
    TASK.check_labels(HEAD, np.eye(2, 3, dtype=np.uint8), (2,))
    with pytest.raises(DatasetError, match=message):
        TASK.check_labels(HEAD, labels, (2,))
    with pytest.raises(DatasetError, match="there are no rows"):
        TASK.check_labels(HEAD, np.zeros((0, 3), bool), (0,))


def test_coverages_and_risks_can_be_guaranteed() -> None:
    TASK.check_guarantees((0.5, 0.9), (0.1,))
    with pytest.raises(ValueError, match="risks: expected different numbers"):
        TASK.check_guarantees(None, (0.1, 0.1))


def test_one_half_of_the_rows_fits_the_temperature() -> None:
    model, contract = graphs.multilabel()
    labels = drawn(3.0)
    found = TASK.fit(model, contract, contract.head, CalibrationRows(ROWS, labels, *WHICH))
    assert found.temperature == np.float32(fit_label_temperature(LOGITS[WHICH[0]], labels[WHICH[0]]))
    assert 0.25 < found.temperature < 0.5
    assert found.nll_before == pytest.approx(binary_cross_entropy(LOGITS, labels, 1.0))
    assert found.nll_after == pytest.approx(binary_cross_entropy(LOGITS, labels, found.temperature))
    served = artefacts.run(model, ROWS, ["submodels"])["submodels"]
    np.testing.assert_allclose(served, 1 / (1 + np.exp(-LOGITS / found.temperature)), atol=1e-6)


def test_ordinary_rows_are_not_warned_of() -> None:
    temperature, warnings = checked(drawn())
    assert temperature == pytest.approx(1, abs=0.2)
    assert warnings == []


def test_rows_that_cannot_bear_a_calibration_are_refused() -> None:
    with pytest.raises(CalibrationError, match="all 400 rows have the same labels"):
        checked(np.ones((400, 3), bool))
    with pytest.raises(CalibrationError, match=r"no better than in random order .* in the order of the labels' names"):
        checked(~drawn(3.0))
    never = drawn()
    never[:, 0] = False
    assert checked(never)[1][0].startswith("'red' (1 of 3 labels) are on in all rows of the calibration or in none")


def test_answers_that_are_all_right_leave_the_temperature() -> None:
    model, contract = graphs.multilabel()
    agreed = np.flatnonzero(((LOGITS > 0) == (LOGITS[:, :1] > 0)).all(axis=(1, 2)))
    rows = CalibrationRows(ROWS, LOGITS[:, 0] > 0, fitting=agreed, guaranteeing=WHICH[1])
    fit = TASK.fit(model, contract, contract.head, rows)
    assert fit.temperature == 1
    assert "the temperature stays 1" in TASK.check_calibration(contract.head, rows, fit)[-1]


def test_an_answer_is_wrong_if_any_label_is() -> None:
    found = {"prediction": np.array([[1, 0, 1], [1, 0, 1], [0, 0, 0]])}
    answers = Answers(found, np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0]], bool))
    assert TASK.wrong(answers).tolist() == [False, True, False]
    assert TASK.errors(answers).tolist() == [[False], [True], [False]]
    assert TASK.mean_error(TASK.errors(answers)) == [pytest.approx(1 / 3)]


def test_a_calibration_has_thresholds_of_rows_and_sets_of_labels() -> None:
    model, contract = graphs.multilabel()
    found = calibrate(model, contract, contract.head, "drawn", Split(ROWS, drawn()), risks=(0.9,))
    assert list(found.quantiles) == ["entropy", "expected_entropy", "mutual_information"]
    assert {(one.score, one.guarantee) for one in found.thresholds} == {
        (score, guarantee) for score in contract.head.scores for guarantee in ("coverage", "risk")
    }
    assert [one.coverage for one in found.prediction_sets] == [0.9, 0.95, 0.99]
    assert found.intervals == ()


def test_sets_hold_a_share_of_the_true_labels() -> None:
    sets = (PredictionSet(coverage=0.9, least_probability=0.5, rows=9),)
    head = HEAD.model_copy(update={"calibration": calibration(prediction_sets=sets)})
    found = {"probabilities": np.array([[0.9, 0.1, 0.6], [0.9, 0.1, 0.1], [0.1, 0.1, 0.1]])}
    answers = Answers(found, np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], bool))
    held, sizes = TASK.prediction_sets(head, answers)[0.9]
    assert (held.tolist(), sizes.tolist()) == ([0.5, 1, 1], [2, 1, 0])
    line = "90 % prediction sets: contain 83.3 % of a row's true labels, the mean over 3 rows, and 1.00 labels"
    assert TASK.describe_sets(0.9, held, sizes) == line
    assert TASK.prediction_sets(HEAD, answers) == {}


def test_what_is_printed() -> None:
    evaluation = MultilabelEvaluation(
        data="traits", rows=9, exact_match=0.5, micro_f1=0.75, macro_f1=0.625, nll=0.25, brier=0.125, ece=0.1,
        ece_uncalibrated=0.2, submodel_exact_match=(0.5, 0.25),
    )  # fmt: skip
    assert TASK.describe(evaluation) == [
        "traits, 9 test rows: exact match 0.5000, F1 0.7500 (macro 0.6250), NLL 0.2500, Brier 0.1250, ECE 0.1000 "
        "(uncalibrated 0.2000); submodels alone 0.5000 0.2500"
    ]
