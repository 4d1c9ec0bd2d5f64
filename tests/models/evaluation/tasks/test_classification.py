from math import log

import numpy as np
import onnx
import pytest

from app.contract.curves import ReliabilityBin
from app.contract.tasks.classification import ClassificationEvaluation
from app.contract.tensor import Tensor
from models import artefact
from models.data import DatasetError
from models.evaluation import classifier_figures
from models.evaluation.adequacy import CalibrationError
from models.evaluation.answers import Answers, Outputs
from models.evaluation.likelihood import fit_temperature, negative_log_likelihood
from models.evaluation.tasks.classification import ClassificationEvaluator
from models.evaluation.tasks.task import CalibrationRows
from tests import artefacts, graphs
from tests.models.evaluation.answered import CLASSES, CLASSIFIER, calibration

TASK = ClassificationEvaluator()
GIVEN = Tensor(name="input", dtype="float32", shape=("B", 4), unit="feature")
rng = np.random.default_rng(3)
ROWS = rng.random((200, 4), np.float32)
LABELS = rng.integers(0, 3, 200)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, np.int64), r"one class index for each of the 2 rows, got \[3\]"),
        (np.zeros((2, 1), np.int64), r"one class index for each of the 2 rows, got \[2, 1\]"),
        (np.zeros(2), "whole numbers, one class index for each row, got float64$"),
        (
            np.zeros(2, bool),
            "whole numbers, one class index for each row, got bool; labels .* go with the task multilabel$",
        ),
        (np.array([-1, 0]), r"labels\[0\]: expected 0 to 1 for the model's 2 classes, got -1; 1 of 2 labels"),
        (np.array([0, 2]), r"labels\[1\]: expected 0 to 1 for the model's 2 classes, got 2; 1 of 2 labels"),
    ],
)
def test_labels_that_are_no_classes_are_named(labels: np.ndarray, message: str) -> None:
    TASK.check_labels(CLASSIFIER, np.array([0, 1], np.uint8), (2,))
    with pytest.raises(DatasetError, match=message):
        TASK.check_labels(CLASSIFIER, labels, (2,))


def test_there_must_be_rows() -> None:
    with pytest.raises(DatasetError, match="there are no rows"):
        TASK.check_labels(CLASSIFIER, np.zeros(0, np.int64), (0,))


def test_coverages_and_risks_can_be_guaranteed() -> None:
    TASK.check_guarantees((0.5, 0.9), (0.1,))
    TASK.check_guarantees(None, None)
    with pytest.raises(ValueError, match=r"coverages: expected different numbers between 0 and 1, got 1\.5"):
        TASK.check_guarantees((1.5,), None)
    with pytest.raises(ValueError, match=r"risks: expected different numbers between 0 and 1, got 0\.1, 0\.1"):
        TASK.check_guarantees(None, (0.1, 0.1))


@pytest.mark.parametrize("before", [1.0, 7.0])
def test_one_half_of_the_rows_fits_whatever_the_file_held_before(before: float) -> None:
    model, contract = graphs.classifier(GIVEN, "abc", 2)
    logits = artefacts.run(model, ROWS, ["logits"])["logits"]
    fitting, guaranteeing = np.arange(0, 200, 2), np.arange(1, 200, 2)
    artefact.set_temperature(model, contract.head, before)
    found = TASK.fit(model, contract, contract.head, CalibrationRows(ROWS, LABELS, fitting, guaranteeing))
    assert found.temperature == np.float32(fit_temperature(logits[fitting], LABELS[fitting]))
    assert found.temperature != pytest.approx(fit_temperature(logits, LABELS), rel=0.01)
    assert found.nll_before == pytest.approx(negative_log_likelihood(logits, LABELS, 1.0))
    assert found.nll_after == pytest.approx(negative_log_likelihood(logits, LABELS, found.temperature))
    served = artefacts.run(model, ROWS, ["submodels"])["submodels"]
    np.testing.assert_allclose(found.outputs["logits"], logits, rtol=1e-5)
    tempered = np.exp(logits / found.temperature)
    np.testing.assert_allclose(served, tempered / tempered.sum(axis=-1, keepdims=True), rtol=1e-4)


WHICH = np.arange(0, 200, 2), np.arange(1, 200, 2)


SPREAD = np.random.default_rng(3).normal(size=(200, 4)).astype(np.float32)


def favoured() -> np.ndarray:
    """The class that an untrained classifier favours in each of these rows."""
    return np.asarray(artefacts.run(graphs.classifier(GIVEN, "abc", 1)[0], SPREAD, ["prediction"])["prediction"])


def checked(scale: float, labels: np.ndarray) -> tuple[float, list[str]]:
    """The temperature and the warnings for its logits times a factor."""
    model, contract = graphs.classifier(GIVEN, "abc", 1)
    (weight,) = (one for one in model.graph.initializer if one.name == "weight")
    scaled = onnx.numpy_helper.to_array(weight) * np.float32(scale)
    weight.CopyFrom(onnx.numpy_helper.from_array(scaled, "weight"))
    rows = CalibrationRows(SPREAD, labels, *WHICH)
    fit = TASK.fit(model, contract, contract.head, rows)
    return fit.temperature, TASK.check_calibration(contract.head, rows, fit)


def mostly_right() -> np.ndarray:
    """Every ninth is not."""
    labels = favoured()
    labels[::9] = (labels[::9] + 1) % 3
    return labels


def test_ordinary_rows_are_not_warned_of() -> None:
    temperature, warnings = checked(10, mostly_right())
    assert 0.06 < temperature < 19
    assert warnings == []


def test_labels_in_random_order_and_of_the_wrong_classes_are_refused() -> None:
    message = r"no better than in random order \(\d+ % of 200 answers are right\): check that they are numbered as"
    for labels in (np.roll(favoured(), 77), (favoured() + 1) % 3):
        with pytest.raises(CalibrationError, match=message):
            checked(10, labels)


def test_labels_that_hardly_fit_are_warned_of() -> None:
    labels = np.roll(favoured(), 77)
    labels[:30] = favoured()[:30]
    (warning,) = checked(1, labels)[1]
    assert "the labels fit the answers hardly better than in random order" in warning


def test_a_temperature_at_the_upper_end_of_its_range_is_refused_and_at_the_lower_warned_of() -> None:
    with pytest.raises(CalibrationError, match=r"temperature is 20 or more, the end of its range .* units"):
        checked(3000, mostly_right())
    temperature, warnings = checked(0.001, mostly_right())
    assert temperature == pytest.approx(0.05, rel=0.01)
    assert ["0.05 or less, the end of its range" in one and "not probabilities" in one for one in warnings] == [True]


def test_answers_that_are_all_right_leave_the_temperature() -> None:
    temperature, warnings = checked(10, favoured())
    assert temperature == 1
    assert ["right on all 100 rows" in one and "the temperature stays 1" in one for one in warnings] == [True]


def test_sets_are_guaranteed_by_the_probabilities_of_the_true_classes() -> None:
    truth = np.arange(1, 21) / 20
    labels = np.arange(20) % 2
    probabilities = np.where(labels[:, None] == np.arange(2), truth[:, None], 1 - truth[:, None])
    answers = Answers({"probabilities": probabilities}, labels)
    found = TASK.guarantee(answers, np.arange(20), (0.8,))
    # ⌈21 · 0.8⌉ = 17 of 20 have it or more
    assert [(one.coverage, one.least_probability, one.rows) for one in found.prediction_sets] == [(0.8, 0.2, 20)]
    assert found.intervals == ()
    upper = TASK.guarantee(answers, np.arange(10, 20), (0.5,))
    assert [(one.least_probability, one.rows) for one in upper.prediction_sets] == [(0.75, 10)]  # ⌈11 · 0.5⌉ = 6
    assert [one.coverage for one in TASK.guarantee(answers, np.arange(20), None).prediction_sets] == [0.9, 0.95]


def test_figures_of_a_contract() -> None:
    submodels = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8]])  # in the mean 0.6, at a temperature of 2 it is 5/9
    found: Outputs = {
        "logits": np.tile(np.log(submodels), (4, 1, 1)),
        "submodels": np.tile([[2 / 3, 1 / 3], [2 / 3, 1 / 3], [1 / 3, 2 / 3]], (4, 1, 1)),
        "probabilities": np.tile([5 / 9, 4 / 9], (4, 1)),
        "prediction": np.zeros(4, np.int64),
        "entropy": np.array([0.1, 0.2, 0.2, 0.3]),
    }
    warm = CLASSIFIER.model_copy(update={"calibration": calibration().model_copy(update={"temperature": 2.0})})
    got = TASK.evaluate(warm, "mine", Answers(found, np.array([0, 0, 0, 1])))
    assert (got.data, got.rows, got.accuracy, got.submodel_accuracy) == ("mine", 4, 0.75, (0.75, 0.75, 0.25))
    assert got.nll == pytest.approx(-(3 * log(5 / 9) + log(4 / 9)) / 4)
    assert (got.ece, got.ece_uncalibrated) == (pytest.approx(0.75 - 5 / 9), pytest.approx(0.15))
    assert got.reliability == (ReliabilityBin(count=4, confidence=0.55556, accuracy=0.75),)
    assert [(one.coverage, one.risk) for one in got.risk_coverage["entropy"]][-2:] == [(0.75, 0.0), (1.0, 0.25)]


def test_errors_are_wrong_classes() -> None:
    answers = Answers(CLASSES, np.array([0, 0]))  # predicted are 0 and 1
    assert TASK.wrong(answers).tolist() == [False, True]
    assert TASK.errors(answers).tolist() == [[False], [True]]
    assert (TASK.error_name, TASK.mean_error(TASK.errors(answers))) == ("error", [0.5])


def test_sets_hold_the_true_class_or_not() -> None:
    answers = Answers(CLASSES, np.array([0, 0]))
    found = TASK.prediction_sets(CLASSIFIER, answers)
    assert {coverage: (held.tolist(), sizes.tolist()) for coverage, (held, sizes) in found.items()} == {
        0.9: ([True, False], [1, 1]),
        0.99: ([True, True], [2, 2]),
    }
    unlike = TASK.prediction_sets(CLASSIFIER, Answers(CLASSES, np.array([1, 0])))
    assert [held.tolist() for held, _ in unlike.values()] == [[False, False], [True, True]]
    assert TASK.prediction_sets(CLASSIFIER.model_copy(update={"calibration": None}), answers) == {}


def test_further_figures_are_those_of_a_classifier() -> None:
    answers = Answers(CLASSES, np.array([0, 0]))
    assert TASK.measure(CLASSIFIER, answers) == classifier_figures.predictive(answers, 1.0)
    assert TASK.measure_corrupted(CLASSIFIER, answers) == classifier_figures.corrupted(answers, 1.0)
    other = {**CLASSES, "entropy": CLASSES["entropy"] + 1}
    assert TASK.measure_ood(answers, other)["entropy"]["auroc"] == 1


def test_what_is_printed() -> None:
    evaluation = ClassificationEvaluation(
        data="digits", rows=9, accuracy=0.5, nll=1.25, ece=0.125, ece_uncalibrated=0.25, submodel_accuracy=(0.5, 0.75)
    )
    assert TASK.describe(evaluation) == [
        "digits, 9 test rows: accuracy 0.5000, NLL 1.2500, ECE 0.1250 (uncalibrated 0.2500); "
        "submodels alone 0.5000 0.7500"
    ]
    test = {
        "brier": 0.5, "adaptive_ece": 0.125, "adaptive_ece_uncalibrated": 0.25, "aurc": {"entropy": 0.0625},
        "disagreement": 0.75,
    }  # fmt: skip
    ood = {"noise": {"entropy": {"auroc": 0.9, "fpr95": 0.25}, "energy": {"auroc": 0.5, "fpr95": 1.0}}}
    figures = "Brier 0.5000, adaptive ECE 0.1250 (uncalibrated 0.2500), AURC 0.0625"
    assert TASK.describe_measured({"test": test, "ood": ood}) == [
        f"{figures}, disagreement 0.7500",
        "OOD, noise: told from test rows with AUROC/FPR95 entropy 0.900/0.250, energy 0.500/1.000",
    ]
    assert TASK.describe_measured({"test": {**test, "disagreement": None}, "ood": {}}) == [figures]
