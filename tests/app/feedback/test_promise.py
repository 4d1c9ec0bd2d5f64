import numpy as np
import pytest

from app.contract.policy import Policy, Rule
from app.feedback.promise import Promise, promises_of
from app.feedback.tasks.task import Judgement
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD, POLICY, RIGHT, WITHIN

RIGHTLY = Judgement({}, (True, True), wrong=False)
WRONGLY = Judgement({}, (False, True), wrong=True)


def test_what_is_promised() -> None:
    found = promises_of(CLASSES_HEAD, POLICY)
    assert [(one.name, one.allowed, one.marginal) for one in found] == [
        ("prediction set 0.9", 0.1, True),
        ("prediction set 0.99", 0.01, True),
        ("coverage 0.9 entropy", 0.1, True),
        ("risk 0.05 entropy", 0.05, False),
    ]
    assert len(promises_of(NUMBERS_HEAD, None)) == 4


@pytest.mark.parametrize(
    "policy",
    [
        None,
        Policy(rules=(Rule(action="defer", score="entropy", threshold=0.41),)),
        Policy(rules=(Rule(action="defer", score="energy", threshold=0.4, below=True),)),
    ],
)
def test_a_threshold_that_no_policy_uses_is_no_promise(policy: Policy | None) -> None:
    assert len(promises_of(CLASSES_HEAD, policy)) == 2


def test_when_a_row_fails() -> None:
    first, second = (Promise("set", 0.1, 100, at) for at in (0, 1))
    assert [first.failed(one, {}) for one in (RIGHTLY, WRONGLY)] == [False, True]
    assert second.failed(WRONGLY, {}) is False
    within = Promise("coverage", 0.1, 100, WITHIN)
    assert [within.failed(RIGHTLY, {"entropy": value}) for value in (0.4, 0.41)] == [False, True]
    right = Promise("risk", 0.05, 100, RIGHT, marginal=False)
    assert [right.failed(one, {"entropy": 0.4}) for one in (RIGHTLY, WRONGLY)] == [False, True]
    assert right.failed(WRONGLY, {"entropy": 0.41}) is None  # nothing is promised beyond


@pytest.mark.parametrize(
    ("failures", "rows", "verdict"),
    [
        (0, 0, "not_enough_truth"),
        (0, 10, "not_enough_truth"),
        (2, 2, "not_enough_truth"),
        (5, 5, "broken"),
        (30, 100, "broken"),
        (100, 1000, "kept"),
        (130, 1000, "not_enough_truth"),
        (200, 1000, "broken"),
    ],
)
def test_a_verdict_needs_rows(failures: int, rows: int, verdict: str) -> None:
    found, certainty = Promise("set", 0.1, 2500, 0).verdict(failures, rows)
    assert found == verdict
    assert (certainty is not None) is (verdict == "broken")
    assert certainty is None or 0.95 <= certainty <= 0.975


def test_a_small_calibration_excuses_more() -> None:
    assert Promise("set", 0.1, 100_000, 0).verdict(405, 3000)[0] == "broken"
    assert Promise("set", 0.1, 150, 0).verdict(405, 3000)[0] != "broken"
    assert Promise("risk", 0.1, 150, RIGHT, marginal=False).verdict(405, 3000)[0] == "broken"


def test_a_conformal_promise_that_holds_is_seldom_called_broken() -> None:
    """Calibrates on 150 rows a thousand times, and looks after 100, 200, … 3000 rows of the same kind."""
    rng = np.random.default_rng(0)
    order = int(np.ceil(151 * 0.9))
    threshold = np.sort(rng.random((1000, 150)), axis=1)[:, order - 1]  # scores are uniform
    promise = Promise("set", 0.1, 150, 0)
    broken = 0
    for rate in 1 - threshold:
        failures = (rng.random(3000) < rate).cumsum()[99::100]
        broken += any(promise.verdict(int(f), 100 * (at + 1))[0] == "broken" for at, f in enumerate(failures))
    assert broken / 1000 <= 0.05


@pytest.mark.parametrize("marginal", [True, False])
def test_evidence_of_40_is_a_broken_promise(marginal: bool) -> None:
    promise = Promise("set", 0.1, 1000, 0, marginal)
    assert promise.evidence(0, 0) == 1
    evidence = [promise.evidence(failures, 1000) for failures in range(100, 200)]
    assert evidence == sorted(evidence)
    assert min(evidence) < 1
    verdicts = [promise.verdict(failures, 1000)[0] for failures in range(100, 200)]
    assert all(verdict == "broken" for verdict, against in zip(verdicts, evidence) if against >= 40)
    assert all(
        verdict != "broken" for verdict, against in zip(verdicts, evidence) if against < (40 if marginal else 20)
    )


def test_nothing_speaks_against_a_promise_that_promises_nothing() -> None:
    assert Promise("set", 1.0, 100, 0).evidence(10, 10) == 1
