import pytest

from app.api.feedback.quality import versions
from app.feedback.bounds import bernstein, wilson
from app.feedback.ledger import Ledger
from app.telemetry.drift_report import DriftReport, ScoreDrift
from tests.app.api.predict.answering import CLASSES, NUMBERS
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD, POLICY, RECEIPTS, issue


def test_a_classifier_is_told_with_intervals() -> None:
    ledger = Ledger()
    for version in (10, 9):
        given = [(text, "a") for text in issue("a", version, CLASSES_HEAD, CLASSES, None)]
        ledger.count(ledger.check(RECEIPTS, 30, given, lambda _: (CLASSES_HEAD, POLICY)), 30)
    assert versions(ledger, {}, "b") == []
    found = versions(ledger, {}, "a")
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
    (head,) = versions(ledger, {}, "a")[0].heads
    assert head.accuracy is head.reliability is head.calibration_error is None
    assert set(head.losses) == {"squared error price", "squared error weight", "nll"}


def test_drift_is_told_of_versions_with_truths_and_without() -> None:
    ledger = Ledger()
    given = [(text, "a") for text in issue("a", 9, CLASSES_HEAD, CLASSES, None)]
    ledger.count(ledger.check(RECEIPTS, 30, given, lambda _: (CLASSES_HEAD, POLICY)), 30)
    calm = DriftReport.of([ScoreDrift("", "entropy", 0, 1.0, None, "below", 1)])
    drifted = DriftReport.of([ScoreDrift("kind", "entropy", 640, 500.0, 0.25, "above", 90)])
    without, old, new = versions(ledger, {10: calm, 8: drifted}, "a")
    assert [(one.version, len(one.heads)) for one in (without, old, new)] == [(8, 0), (9, 1), (10, 0)]
    assert without.drift is not None
    assert without.drift.model_dump() == {
        "evidence": 500.0,
        "alarm": True,
        "scores": [
            {
                "head": "kind", "score": "entropy", "rows": 640, "evidence": 500.0, "distance": 0.25, "side": "above",
                "percent": 90,
            }
        ],
    }  # fmt: skip
    assert old.drift is None
    assert new.drift is not None
    assert (new.drift.alarm, new.drift.scores[0].head, new.drift.scores[0].distance) == (False, None, None)
