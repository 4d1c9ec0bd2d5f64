from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from app.contract.calibration import Threshold
from models.evaluation.answers import Answers
from models.evaluation.comparison import LEVEL, Comparison, Promise, compare, promises
from tests.models.evaluation.answered import CLASSES, CLASSIFIER, NUMBERS, REGRESSOR

KEPT = Promise("kept", 0.1, 0.1, 1000, 100)
BROKEN = Promise("broken", 0.1, 0.1, 1000, 160)


def comparison(gain: float, old: list[Promise], new: list[Promise]) -> Comparison:
    return Comparison(1000, (0.5, 0.4), gain, tuple(old), tuple(new))


def test_promises_of_a_classifier() -> None:
    thresholds = (
        Threshold(score="entropy", guarantee="coverage", target=0.9, value=0.25, rows=99, coverage=0.9),
        Threshold(score="confidence", guarantee="risk", target=0.05, value=0.7, rows=99, coverage=0.5, risk=0.01),
    )
    assert CLASSIFIER.calibration is not None
    calibration = CLASSIFIER.calibration.model_copy(update={"thresholds": thresholds})
    head = CLASSIFIER.model_copy(update={"calibration": calibration})
    found = list(promises(head, Answers(CLASSES, np.array([1, 1]))))
    # probabilities [0.75, 0.25] and [0.375, 0.625]; the sets hold what has 0.5 and 0.2 at least
    assert [(one.name, one.allowed, one.rows, one.failures) for one in found] == [
        ("prediction set 0.9", 0.1, 2, 1),
        ("prediction set 0.99", 0.01, 2, 0),
        ("coverage 0.9 entropy", 0.1, 2, 1),
        ("risk 0.05 confidence", 0.05, 1, 1),
    ]
    # of 100 rows: P(Beta(10, 91) ≤ x) = P(Binomial(100, x) ≥ 10)
    assert binom.sf(9, 100, found[0].tolerated) == pytest.approx(0.975)
    assert found[3].tolerated == 0.05


def test_promises_of_a_regressor_are_those_of_its_targets() -> None:
    # means [1, 2] and [3, 4], standard deviations [2, 3] and [1, 0]; factors 1 and 2, then 2 and 4
    found = list(promises(REGRESSOR, Answers(NUMBERS, np.array([[4, 2], [3, 4.5]], np.float32))))
    assert [(one.name, one.failures) for one in found] == [
        ("interval 0.8 price", 1),
        ("interval 0.8 weight", 1),
        ("interval 0.9 price", 0),
        ("interval 0.9 weight", 1),
    ]


@pytest.mark.parametrize("failures", [100, 110, 120, 130])
def test_a_promise_is_broken_if_chance_hardly_explains_it(failures: int) -> None:
    p = binomtest(failures, 1000, 0.1, alternative="greater").pvalue
    promise = Promise("a", 0.1, 0.1, 1000, failures)
    assert promise.is_broken(p * 1.001)
    assert not promise.is_broken(p * 0.999)
    assert not Promise("a", 0.1, 0.1, 0, 0).is_broken(1.0)


@pytest.mark.parametrize(
    ("gain", "old", "new", "better"),
    [
        (0.0, [KEPT], [KEPT], False),
        (1.95, [KEPT], [KEPT], False),
        (1.97, [KEPT], [KEPT], True),
        (0.0, [BROKEN], [KEPT], True),
        (-1.95, [BROKEN], [KEPT], True),
        (-1.97, [BROKEN], [KEPT], False),
        (0.0, [], [KEPT], True),  # the first calibration
        (-1.97, [], [KEPT], False),
        (9.0, [KEPT], [BROKEN], False),
        (9.0, [BROKEN], [BROKEN], True),
        (0.0, [BROKEN], [BROKEN], False),
    ],
)
def test_better_in_something_and_worse_in_nothing(
    gain: float, old: list[Promise], new: list[Promise], better: bool
) -> None:
    assert comparison(gain, old, new).is_better is better
    assert comparison(gain, old, new).level == LEVEL / 2 / len(old + new)


def test_both_figures_are_told() -> None:
    first, *rest = comparison(0.0, [BROKEN] * 7, [KEPT]).describe()
    assert first == ("1000 rows kept aside: NLL 0.5000 before, 0.4000 now; broken promises: 7 of 7 before, 0 of 1 now")
    assert rest == [*5 * ["  broken before: broken: 160 of 1000 rows fail, 10 % may"], "  and 2 more"]


def test_the_gain_is_that_of_a_paired_test() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (200, 2, 2)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 2, 200)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    outputs: dict[str, Any] = {name: np.zeros(200) for name in CLASSIFIER.scores}
    outputs |= {
        "logits": logits,
        "probabilities": softmax.mean(axis=1),
        "prediction": softmax.mean(axis=1).argmax(axis=1),
    }
    answers = Answers(outputs, labels)
    assert CLASSIFIER.calibration is not None
    hotter = CLASSIFIER.model_copy(
        update={"calibration": CLASSIFIER.calibration.model_copy(update={"temperature": 2.0})}
    )
    found = compare(CLASSIFIER, answers, hotter, answers)
    hot = np.exp(logits.astype(float) / 2) / np.exp(logits.astype(float) / 2).sum(axis=2, keepdims=True)
    losses = [-np.log(p.mean(axis=1)[np.arange(200), labels]) for p in (softmax.astype(float), hot)]
    assert found.nll == pytest.approx((losses[0].mean(), losses[1].mean()), rel=1e-5)
    less = losses[0] - losses[1]
    assert found.gain == pytest.approx(less.mean() / (less.std(ddof=1) / np.sqrt(200)), rel=1e-4)
