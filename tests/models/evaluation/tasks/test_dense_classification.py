from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from app.contract.calibration import PredictionSet
from app.contract.head import Head
from app.contract.reader import read
from app.contract.tasks.classification import DenseClassificationEvaluation
from models.data import DatasetError, Split
from models.evaluation import head_session
from models.evaluation.adequacy import CalibrationError
from models.evaluation.answers import Answers
from models.evaluation.calibration import calibrate
from models.evaluation.evaluation import evaluate
from models.evaluation.likelihood import fit_temperature
from models.evaluation.policy_outcome import apply_policy
from models.evaluation.respondent import Respondent
from models.evaluation.rows import check_rows
from models.evaluation.tasks.dense_classification import DenseClassificationEvaluator
from models.evaluation.tasks.task import CalibrationRows
from tests import artefacts, dense_graphs
from tests.models.evaluation.answered import calibration
from tests.models.evaluation.tasks.segmented import COUNT, SIZES, K, segmented

TASK = DenseClassificationEvaluator()
HEAD = dense_graphs.segmentation()[1].head
HALVES = np.arange(0, COUNT, 2), np.arange(1, COUNT, 2)
CELLS = SIZES[0] * SIZES[1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            np.zeros((2, 8), np.int64),
            r"whole numbers \[2, 8, 16\], one class index for each cell .* got int64 \[2, 8\]",
        ),
        (np.zeros((2, *SIZES)), r"whole numbers \[2, 8, 16\], .* got float64"),
        (np.full((2, *SIZES), 3), r"labels\[0\]\[0\]\[0\]: expected 0 to 2 .* or -1 .*, got 3; 256 of 256 labels are"),
        (np.full((2, *SIZES), -2), "got -2"),
        (np.full((2, *SIZES), -1), "no cell counts, all are -1"),
        (np.zeros((0, *SIZES), np.int64), "there are no rows"),
    ],
)
def test_labels_that_are_no_maps_of_classes_are_named(labels: NDArray[Any], message: str) -> None:
    contract = dense_graphs.segmentation()[1]
    good = np.full((2, *SIZES), -1)
    good[0, 0, 0] = 2
    inputs = np.zeros((2, 1, *SIZES), np.uint8)
    check_rows(contract, Split(inputs, good))
    with pytest.raises(DatasetError, match=message):
        check_rows(contract, Split(inputs[: len(labels)], labels))


def checked(split: Split) -> tuple[float, list[str]]:
    model, contract = dense_graphs.segmentation()
    rows = CalibrationRows(split.inputs, split.labels, *HALVES)
    fit = TASK.fit(model, contract, contract.head, rows)
    return fit.temperature, TASK.check_calibration(contract.head, rows, fit)


def test_a_temperature_is_fitted_to_cells_of_one_half_of_the_rows() -> None:
    model, contract = dense_graphs.segmentation()
    split = segmented(2.0)
    logits = artefacts.run(model, split.inputs, ["logits"])["logits"]
    found = TASK.fit(model, contract, contract.head, CalibrationRows(split.inputs, split.labels, *HALVES))
    within = split.labels[HALVES[0]] >= 0
    cells = np.moveaxis(logits[HALVES[0]], (1, 2), (3, 4))[within]
    # fewer cells than a sample may have: all are taken
    assert found.temperature == pytest.approx(fit_temperature(cells, split.labels[HALVES[0]][within]), rel=1e-4)
    assert found.temperature == pytest.approx(0.5, rel=0.05)
    assert found.nll_after < found.nll_before
    (held,) = (one for one in model.graph.initializer if one.name == "temperature")
    assert np.frombuffer(held.raw_data, np.float32) == np.float32(found.temperature)


def test_ordinary_rows_are_not_warned_of() -> None:
    temperature, warnings = checked(segmented())
    assert temperature == pytest.approx(1, rel=0.1)
    assert warnings == []


def test_labels_of_other_rows_are_refused() -> None:
    split = segmented(2.0)
    with pytest.raises(CalibrationError, match=r"no better than in random order \(\d+ % of \d+ cells are right\)"):
        checked(Split(split.inputs, np.roll(split.labels, 1, axis=0)))
    with pytest.raises(CalibrationError, match="all 38400 cells are of the class 'sea': give cells of all classes"):
        checked(Split(split.inputs, np.ones_like(split.labels)))
    without = np.where(split.labels == 2, -1, split.labels)
    assert checked(Split(split.inputs, without))[1][0].startswith("no cell of the calibration is of the class 'land'")


def test_answers_that_are_all_right_leave_the_temperature() -> None:
    model, contract = dense_graphs.segmentation()
    for one in model.graph.initializer:
        if one.name in ("weight", "bias"):  # two submodels that agree
            values = onnx.numpy_helper.to_array(one).copy()
            values[:, 1] = values[:, 0]
            one.CopyFrom(onnx.numpy_helper.from_array(values, one.name))
    inputs = segmented().inputs
    labels = artefacts.run(model, inputs, ["prediction"])["prediction"]
    labels[:, :2] = -1
    rows = CalibrationRows(inputs, labels, *HALVES)
    fit = TASK.fit(model, contract, HEAD, rows)
    assert fit.temperature == 1
    warning = TASK.check_calibration(HEAD, rows, fit)[-1]
    assert f"every submodel is right on all {COUNT // 2 * 6 * 16} cells that were to fit the temperature" in warning


def calibrated(seed: int = 0) -> tuple[Any, Any]:
    model, contract = dense_graphs.segmentation()
    found = calibrate(model, contract, contract.head, "drawn", segmented(2.0, seed), risks=(0.2, 0.3, 0.5))
    return model, contract.with_head(contract.head, calibration=found)


def test_a_calibration_is_about_rows() -> None:
    found = calibrated()[1].head.calibration
    assert list(found.quantiles) == list(HEAD.scores)
    assert {(one.score, one.guarantee) for one in found.thresholds} >= {(score, "coverage") for score in HEAD.scores}
    assert any(one.guarantee == "risk" for one in found.thresholds)
    assert [one.coverage for one in found.prediction_sets] == [0.9, 0.95, 0.99]
    assert all(one.rows == COUNT // 2 for one in (*found.thresholds, *found.prediction_sets))
    assert found.warnings == ()


def test_new_rows_are_answered_as_guaranteed() -> None:
    model, contract = calibrated()
    head: Head = contract.head
    answers = Respondent(model, contract, head).answer(segmented(2.0, seed=9))
    outcome = apply_policy(head, answers)
    served = artefacts.run(model, segmented(2.0, seed=9).inputs, ["prediction", "probabilities", "row_entropy"])
    labels = answers.labels
    for row in (0, 7):
        within = labels[row] >= 0
        assert outcome.errors[row, 0] == pytest.approx((served["prediction"][row] != labels[row])[within].mean())
    for coverage, (held, sizes) in outcome.sets.items():
        assert held.mean() > coverage - 0.02
        assert 1 <= sizes.min() <= sizes.max() <= K
    entropy = [one for one in head.calibration.thresholds if (one.score, one.guarantee) == ("entropy", "risk")]
    for one in entropy:
        accepted = served["row_entropy"] <= one.value
        assert outcome.errors[accepted, 0].mean() < one.target
    assert [one.target for one in entropy] == [0.5]


def test_sets_hold_the_most_probable_class_and_what_is_probable_enough() -> None:
    sets = (PredictionSet(coverage=0.9, least_probability=0.3, rows=9),)
    head = HEAD.model_copy(update={"calibration": calibration(prediction_sets=sets)})
    probabilities = np.array([[[0.5, 0.2, 0.9, 1]], [[0.4, 0.2, 0.1, 0]], [[0.1, 0.6, 0, 0]]])[None]
    logits = np.log(np.maximum(probabilities, 1e-3))[:, None]
    found = {"probabilities": probabilities, "logits": logits, "prediction": probabilities.argmax(axis=1)}
    labels = np.array([[[1, 0, 0, -1]]])
    answers = Answers(TASK.keep(head, found, labels), labels)
    ((held, sizes),) = TASK.prediction_sets(head, answers).values()
    assert held == [pytest.approx(2 / 3)]
    assert sizes == [pytest.approx(5 / 4)]
    assert TASK.wrong(answers) == [pytest.approx(2 / 3)]
    assert TASK.describe_sets(0.9, held, sizes) == (
        "90 % prediction sets: contain the true class in 66.7 % of a row's cells, the mean over 1 rows, and 1.25 "
        "classes on average"
    )


def test_figures_are_the_same_whatever_rows_are_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, contract = calibrated()
    split = segmented(2.0, seed=5)
    whole = evaluate(model, contract, contract.head, "drawn", split)
    monkeypatch.setattr(head_session, "_VALUES_AT_ONCE", 7 * CELLS * K * dense_graphs.N)
    parts = evaluate(model, contract, contract.head, "drawn", split)
    assert isinstance(whole, DenseClassificationEvaluation)
    assert [one.count for one in parts.reliability] == [one.count for one in whole.reliability]
    assert sum(one.count for one in whole.reliability) == whole.cells
    for name, value in whole.model_dump(exclude={"data", "reliability", "risk_coverage"}).items():
        assert getattr(parts, name) == pytest.approx(value), name
    assert (whole.rows, whole.cells) == (COUNT, (split.labels >= 0).sum())
    assert whole.ece < whole.ece_uncalibrated
    assert set(whole.auroc_worst_tenth) == set(whole.spearman) == set(HEAD.scores)
    assert whole.auroc_worst_tenth["entropy"] > 0.6
    written = contract.with_head(contract.head, evaluation=whole).model_dump_json(exclude_none=True)
    assert read(written).head.evaluation == whole


def test_only_a_few_numbers_of_a_row_are_kept() -> None:
    model, contract = calibrated()
    respondent = Respondent(model, contract, contract.head)
    split = segmented(2.0, seed=5)
    kept = respondent.answer(split).outputs
    assert max(values[0].size for values in kept.values()) < CELLS
    assert set(respondent.outputs(split.inputs)) == {tensor.name for tensor in HEAD.outputs if tensor.shape[-1] != "W"}


def test_further_figures_are_those_of_rows_and_cells() -> None:
    model, contract = calibrated()
    respondent, split = Respondent(model, contract, contract.head), segmented(2.0, seed=5)
    answers = respondent.answer(split)
    measured = TASK.measure(contract.head, answers)
    reached = TASK.evaluate(contract.head, "drawn", answers)
    assert (measured["mean_iou"], measured["row_ece"]) == (reached.mean_iou, reached.row_ece)
    assert measured["risk_by_coverage"]["entropy"][-1] == pytest.approx(TASK.wrong(answers).mean())
    assert reached.risk_coverage["entropy"][-1].risk == pytest.approx(TASK.wrong(answers).mean(), rel=1e-4)
    corrupted = TASK.measure_corrupted(contract.head, answers)
    assert corrupted.items() <= measured.items()
    noise = np.random.default_rng(0).integers(0, 256, split.inputs.shape).astype(np.uint8)
    assert TASK.measure_ood(answers, respondent.outputs(noise))["mutual_information"]["auroc"] != 0.5
    lines = TASK.describe_measured({"test": measured, "ood": {}})
    assert lines == [f"IoU {' '.join(f'{one:.4f}' for one in measured['iou'])}; AURC {measured['aurc']['entropy']:.4f}"]


def test_what_is_printed() -> None:
    evaluation = DenseClassificationEvaluation(
        data="scenes", rows=9, cells=900, accuracy=0.5, mean_iou=0.25, nll=1.25, ece=0.125, ece_uncalibrated=0.25,
        row_ece=0.0625, submodel_accuracy=(0.5, 0.75), auroc_worst_tenth={"entropy": 0.9, "energy": 0.5},
        spearman={"entropy": 0.75},
    )  # fmt: skip
    assert TASK.describe(evaluation) == [
        "scenes, 900 cells of 9 test rows: accuracy 0.5000, mean IoU 0.2500, NLL 1.2500, ECE 0.1250 (uncalibrated "
        "0.2500), of rows 0.0625; submodels alone 0.5000 0.7500",
        "rows ranked by their errors, AUROC of the worst tenth/Spearman: entropy 0.900/0.750, energy 0.500/–",
    ]
    alike = evaluation.model_copy(update={"auroc_worst_tenth": {}, "spearman": {}})
    assert len(TASK.describe(alike)) == 1
