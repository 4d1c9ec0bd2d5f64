import pytest

from app.api.feedback.quality import versions
from app.feedback.bounds import bernstein, wilson
from app.feedback.ledger import Ledger
from tests.app.api.predict.answering import CLASSES, NUMBERS
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD, POLICY, RECEIPTS, issue


def test_a_classifier_is_told_with_intervals() -> None:
    ledger = Ledger()
    for version in (10, 9):
        given = [(text, "a") for text in issue("a", version, CLASSES_HEAD, CLASSES, None)]
        ledger.count(ledger.check(RECEIPTS, 30, given, lambda _: (CLASSES_HEAD, POLICY)), 30)
    assert versions(ledger, "b") == []
    found = versions(ledger, "a")
    assert [one.version for one in found] == [9, 10]
    (head,) = found[0].heads
    assert (head.name, head.rows, head.repeated) == (None, 2, 0)
    assert head.accuracy is not None
    assert (head.accuracy.value, head.accuracy.lower, head.accuracy.upper) == (0.5, *wilson(1, 2))
    brier = head.losses["brier"]
    total, squares = 0.125 + 0.78125, 0.125**2 + 0.78125**2
    assert (brier.value, brier.lower, brier.upper) == pytest.approx((total / 2, *bernstein(total, squares, 2, 2.0)))
    assert head.losses["nll"].lower is None
    assert head.calibration_error == pytest.approx((0.625 + 0.25) / 2)
    assert head.reliability is not None
    assert [one.hits.value for one in head.reliability if one.hits.rows] == [0, 1]
    assert head.reliability[0].confidence is None
    (decision,) = head.decisions
    assert (decision.action, decision.share.value, decision.wrong and decision.wrong.value) == (None, 1, 0.5)
    assert [(one.promise, one.failed.value, one.failed.rows) for one in head.promises] == [
        ("prediction set 0.9", 0.5, 2), ("prediction set 0.99", 0, 2),
        ("coverage 0.9 entropy", 0.5, 2), ("risk 0.05 entropy", 0, 1),
    ]  # fmt: skip
    assert {one.verdict for one in head.promises} == {"not_enough_truth"}


def test_a_regressor_has_no_accuracy() -> None:
    ledger = Ledger()
    given: list[tuple[str, list[float]]] = [(issue("a", 3, NUMBERS_HEAD, NUMBERS, None)[0], [4.0, 2.0])]
    ledger.count(ledger.check(RECEIPTS, 30, given, lambda _: (NUMBERS_HEAD, None)), 30)
    (head,) = versions(ledger, "a")[0].heads
    assert head.accuracy is head.reliability is head.calibration_error is None
    assert set(head.losses) == {"squared error price", "squared error weight", "nll"}
