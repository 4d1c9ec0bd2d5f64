"""Each kind of task: what it puts down of an answer, and how it judges it."""

import math
from typing import Any

import numpy as np
import pytest

from app.contract.calibration import PredictionSet
from app.contract.head import Head
from app.contract.tasks import classification
from app.feedback.tasks import FEEDBACK
from app.feedback.tasks.classification import ALL, MOST
from tests.app.api.predict.answering import CLASSES, NUMBERS, calibration
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD

CLASSIFIER, REGRESSOR = FEEDBACK["classification"], FEEDBACK["regression"]


def wide(classes: int, least: float) -> Head:
    sets = (PredictionSet(coverage=0.9, least_probability=least, rows=100),)
    labels = tuple(map(str, range(classes)))
    return Head(labels=labels, outputs=classification.outputs(), calibration=calibration(prediction_sets=sets))


def probabilities(classes: int) -> Any:
    return np.random.default_rng(0).dirichlet(np.full(classes, 0.05), 20).astype(np.float32)


@pytest.mark.parametrize("classes", [2, ALL, ALL + 1, 300, 2000])
def test_losses_and_sets_are_those_of_the_whole_answer(classes: int) -> None:
    p = probabilities(classes)
    head = wide(classes, 0.01)
    rows = CLASSIFIER.figures(head, {"probabilities": p})
    for row, figures in zip(p, rows):
        assert CLASSIFIER.fits(head, figures)
        for truth in (int(row.argmax()), int(np.argsort(-row)[1]), int(row.argmin())):
            judged = CLASSIFIER.judge(head, figures, truth)
            brier = ((row.astype(float) - (np.arange(classes) == truth)) ** 2).sum()
            known = row[truth] > 1e-3  # one of the most probable, which a receipt holds
            assert judged.losses["brier"] == pytest.approx(brier, abs=1e-5 if known else 2e-3)
            if known:
                assert judged.losses["nll"] == pytest.approx(-math.log(row[truth]), abs=1e-5)
            assert judged.wrong == (truth != row.argmax())
            assert judged.covered == ((truth == row.argmax()) or row[truth] >= 0.01 - 1e-6,)
            assert judged.confidence == row.max()


def test_a_receipt_of_many_classes_is_bounded() -> None:
    p = np.full((1, 5000), 1 / 5000, np.float32)
    (flat,) = CLASSIFIER.figures(wide(5000, 1e-5), {"probabilities": p})
    assert [len(part) for part in flat] == [4 * MOST, 2 * MOST, 4]
    (few,) = CLASSIFIER.figures(wide(5000, 0.5), {"probabilities": p})
    assert [len(part) for part in few] == [4 * ALL, 2 * ALL, 4]
    judged = CLASSIFIER.judge(wide(5000, 1e-5), flat, 4999)
    assert judged.losses["nll"] == pytest.approx(math.log(5000), rel=1e-3)
    assert judged.covered == (False,)  # beyond the 256


def test_a_truth_without_probability_has_a_finite_loss() -> None:
    (figures,) = CLASSIFIER.figures(CLASSES_HEAD, {"probabilities": np.array([[1, 0]], np.float32)})
    judged = CLASSIFIER.judge(CLASSES_HEAD, figures, 1)
    assert judged.losses == {"brier": 2.0, "nll": pytest.approx(27.63, abs=0.01)}


def test_a_class_is_told_by_label_or_index() -> None:
    assert CLASSIFIER.truth(CLASSES_HEAD, "b") == CLASSIFIER.truth(CLASSES_HEAD, 1) == 1


@pytest.mark.parametrize("given", ["c", "1", 2, -1, True, 1.0, [1.0]])
def test_no_other_class_is_true(given: Any) -> None:
    with pytest.raises(ValueError, match=r"no label|expected a label"):
        CLASSIFIER.truth(CLASSES_HEAD, given)


def test_numbers_are_judged_one_by_one() -> None:
    first, _ = REGRESSOR.figures(NUMBERS_HEAD, NUMBERS)  # means 1 and 2, variances 4 and 9
    judged = REGRESSOR.judge(NUMBERS_HEAD, first, REGRESSOR.truth(NUMBERS_HEAD, [4, 2]))
    assert judged.losses["squared error price"] == 9
    assert judged.losses["squared error weight"] == 0
    nll = 0.5 * (math.log(2 * math.pi * 4) + 9 / 4) + 0.5 * math.log(2 * math.pi * 9)
    assert judged.losses["nll"] == pytest.approx(nll)
    assert judged.wrong is None
    # 1 ± 2 and 1 ± 4 for the price, 2 ± 6 and 2 ± 12 for the weight
    assert judged.covered == (False, True, True, True)
    names = [region.name for region in REGRESSOR.regions(NUMBERS_HEAD)]
    assert names == ["interval 0.8 price", "interval 0.8 weight", "interval 0.9 price", "interval 0.9 weight"]


def test_an_end_belongs_to_its_interval() -> None:
    first, _ = REGRESSOR.figures(NUMBERS_HEAD, NUMBERS)
    at_the_end = REGRESSOR.judge(NUMBERS_HEAD, first, REGRESSOR.truth(NUMBERS_HEAD, [3, -4]))
    assert at_the_end.covered == (True, True, True, True)


def test_no_variance_gives_a_finite_loss() -> None:
    _, second = REGRESSOR.figures(NUMBERS_HEAD, NUMBERS)  # variances 1 and 0
    judged = REGRESSOR.judge(NUMBERS_HEAD, second, REGRESSOR.truth(NUMBERS_HEAD, [3e38, 3e38]))
    assert all(map(math.isfinite, judged.losses.values()))


@pytest.mark.parametrize("given", [1, [1], [1, 2, 3], "1", ["1", 2], [True, 2], [1e39, 2], [float("nan"), 2]])
def test_no_other_numbers_are_true(given: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        REGRESSOR.truth(NUMBERS_HEAD, given)


def test_figures_of_another_head_do_not_fit() -> None:
    of_classes, _ = CLASSIFIER.figures(CLASSES_HEAD, CLASSES)
    of_numbers, _ = REGRESSOR.figures(NUMBERS_HEAD, NUMBERS)
    assert CLASSIFIER.fits(CLASSES_HEAD, of_classes)
    assert REGRESSOR.fits(NUMBERS_HEAD, of_numbers)
    assert not CLASSIFIER.fits(CLASSES_HEAD, of_numbers)
    assert not REGRESSOR.fits(NUMBERS_HEAD, of_classes)
    assert not CLASSIFIER.fits(wide(3, 0.1), of_classes)
    assert not CLASSIFIER.fits(wide(100, 0.1), of_classes)
