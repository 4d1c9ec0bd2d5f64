from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.contract import policy, schema
from app.contract.calibration import Threshold
from app.contract.contract_model import Score
from app.contract.head import Head, Target
from app.contract.policy import Clause
from app.contract.tasks import regression
from tests.app.contract.calibrated import EVEN, calibrated
from tests.app.engine.fakes import CONTRACT


def test_rules_are_read_in_order() -> None:
    assert policy.parse(" reject energy>p99.5,defer entropy > .62 ,defer confidence<p5, defer energy>-1e1") == (
        Clause("reject", "energy", 99.5, "percentile"),
        Clause("defer", "entropy", 0.62),
        Clause("defer", "confidence", 5, "percentile"),
        Clause("defer", "energy", -10),
    )
    assert policy.parse("reject energy>c99, defer confidence<r0.5") == (
        Clause("reject", "energy", 99, "coverage"),
        Clause("defer", "confidence", 0.5, "risk"),
    )
    assert policy.parse("defer road-2.entropy>1") == (Clause("defer", "entropy", 1, head="road-2"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rule '': expected ACTION SCORE>THRESHOLD"),
        ("defer entropy>1,", "rule '': expected ACTION"),
        ("defer entropy", "rule 'defer entropy': expected ACTION"),
        ("defer entropy>=1", "expected a finite number, p0 to p100, c0 to c100 or r0 to r100, got '=1'"),
        ("defer entropy>1; reject energy>2", "expected ACTION SCORE>THRESHOLD"),
        ("accept entropy>1", "unknown action 'accept'; expected reject or defer"),
        ("defer doubt>1", "unknown score 'doubt'; expected one of confidence, entropy"),
        ("defer entropy<1", "rule 'defer entropy<1': expected entropy>"),
        ("defer confidence>0.9", "expected confidence<"),
        ("defer mutual_information<1", "expected mutual_information>"),
        ("reject energy<c99", "cNN and rNN bound energy from above; below, expected a number or pNN"),
        ("reject energy<r5", "cNN and rNN bound energy from above"),
        ("defer entropy>nan", "expected a finite number"),
        ("defer entropy>1e999", "expected a finite number"),
        ("defer entropy>1_0", "expected a finite number"),
        ("defer entropy>p101", "p0 to p100"),
        ("defer entropy>p-1", "p0 to p100"),
        ("defer entropy>c101", "c0 to c100"),
        ("defer entropy>r", "r0 to r100"),
        ("defer road.doubt>1", "unknown score 'doubt'"),
        ("defer .entropy>1", "expected ACTION SCORE>THRESHOLD"),
        ("defer a.b.entropy>1", "expected ACTION SCORE>THRESHOLD"),
        ("defer entropy>" + "9" * 5000 + "x", "…'"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_part_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^rule ") as caught:
        policy.parse(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_energy_has_a_lower_side_too() -> None:
    clauses = policy.parse("reject energy<p0, reject energy > p99, defer energy<-1e1")
    assert [(clause.level, clause.of, clause.below) for clause in clauses] == [
        (0, "percentile", True),
        (99, "percentile", None),
        (-10, None, True),
    ]
    contract = calibrated(energy=tuple(-at for at in EVEN[::-1]))
    found = policy.resolve(clauses, contract.heads)[""].rules
    assert [(rule.threshold, rule.sign) for rule in found] == [(-1, -1), (pytest.approx(-0.01), 1), (-10, -1)]
    with pytest.raises(ValidationError, match="below: expected of energy alone, got entropy"):
        policy.Rule(action="defer", score="entropy", threshold=1, below=True)


@given(st.text(max_size=40))
def test_any_text_is_a_policy_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert policy.parse(text)


def test_policies_of_several_models() -> None:
    found = policy.parse_all("digits=defer entropy>p95, reject energy>0; cats = none;*=defer confidence<0.5;")
    assert {name: len(clauses) for name, clauses in found.items()} == {"digits": 2, "cats": 0, "*": 1}
    for text, message in (
        ("defer entropy>1", "expected name=rules"),
        ("../x=none", "not a model name"),
        ("a=none;a=none", "two policies for a"),
        ("a=defer doubt>1", "unknown score"),
        ("a=", "expected ACTION"),
    ):
        with pytest.raises(ValueError, match=message):
            policy.parse_all(text)


def test_percentiles_are_looked_up_in_the_calibration() -> None:
    contract = calibrated(entropy=EVEN, energy=tuple(-at for at in EVEN[::-1]))
    found = policy.resolve(
        policy.parse("reject energy>p25.5, defer entropy>p95, defer confidence<0.5"), contract.heads
    )[""]
    assert [rule.threshold for rule in found.rules] == pytest.approx([-0.745, 0.95, 0.5])
    for text, over, message in (
        ("defer confidence<p5", contract, "percentile of 'confidence' is wanted"),
        ("defer entropy>p5", CONTRACT, "percentile of 'entropy' is wanted, and the model was not calibrated"),
        (
            "defer energy>1",
            _without_energy(),
            "no score 'energy'; it has entropy, expected_entropy, mutual",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            policy.resolve(policy.parse(text), over.heads)


def test_guarantees_are_looked_up_among_those_the_model_makes() -> None:
    def guarantee(score: Score, kind: Literal["coverage", "risk"], target: float, value: float) -> Threshold:
        return Threshold(score=score, guarantee=kind, target=target, value=value, rows=99, coverage=target)

    made = (
        guarantee("energy", "coverage", 0.99, -3),
        guarantee("entropy", "risk", 0.05, 0.4),
        guarantee("entropy", "risk", 0.01, 0.1),
    )
    contract = calibrated()
    assert contract.head.calibration is not None
    calibration = contract.head.calibration.model_copy(update={"thresholds": made})
    contract = contract.with_head(contract.head, calibration=calibration)
    found = policy.resolve(policy.parse("reject energy>c99, defer entropy>r5, defer entropy>r1.0"), contract.heads)[""]
    assert [rule.threshold for rule in found.rules] == [-3, 0.4, 0.1]
    for text, over, message in (
        ("reject energy>c95", contract, "guarantees no c95 of 'energy'; it has c99"),
        ("defer entropy>r10", contract, "guarantees no r10 of 'entropy'; it has r5, r1"),
        ("defer confidence<r5", contract, "guarantees no r5 of 'confidence'; it has none"),
        ("defer entropy>r5", CONTRACT, "it has none"),
        ("defer energy>c99", _without_energy(), "the model has no score 'energy'"),
    ):
        with pytest.raises(ValueError, match=message):
            policy.resolve(policy.parse(text), over.heads)


def test_guarantees_are_looked_up_too() -> None:
    parts = {"rows": 100, "coverage": 0.9}
    guarantees = (
        Threshold(score="entropy", guarantee="coverage", target=0.975, value=0.8, **parts),
        Threshold(score="entropy", guarantee="risk", target=0.05, value=0.4, risk=0.01, confidence_level=0.9, **parts),
        Threshold(score="energy", guarantee="risk", target=0.01, value=-3, risk=0.01, confidence_level=0.9, **parts),
    )
    contract = calibrated(entropy=EVEN)
    assert contract.head.calibration is not None
    calibration = contract.head.calibration.model_copy(update={"thresholds": guarantees})
    contract = contract.with_head(contract.head, calibration=calibration)
    found = policy.resolve(policy.parse("reject energy>r1, defer entropy>c97.5, defer entropy>r5"), contract.heads)[""]
    assert [rule.threshold for rule in found.rules] == [-3, 0.8, 0.4]
    with pytest.raises(ValueError, match=r"guarantees no c90 of 'entropy'; it has c97\.5, r5"):
        policy.resolve(policy.parse("defer entropy>c90"), contract.heads)
    with pytest.raises(ValueError, match=r"guarantees no r5 of 'entropy'; it has none"):
        policy.resolve(policy.parse("defer entropy>r5"), CONTRACT.heads)


def _without_energy() -> schema.Contract:
    target = Target(name="y", unit="m")
    head = Head(task="regression", targets=(target,), outputs=regression.outputs(True))
    return CONTRACT.model_copy(update={"heads": (head,)})


def test_a_rule_may_name_the_head_that_it_is_about() -> None:
    steering = _without_energy().head.model_copy(update={"name": "steering"})
    road = calibrated(entropy=EVEN).head.model_copy(update={"name": "road-2"})

    def found(text: str) -> dict[str, list[tuple[str, float]]]:
        policies = policy.resolve(policy.parse(text), (steering, road))
        return {name: [(rule.score, rule.threshold) for rule in one.rules] for name, one in policies.items()}

    assert found("defer road-2.entropy>p95") == {"road-2": [("entropy", pytest.approx(0.95))]}
    assert found("reject energy>1, defer entropy>0.5") == {
        "road-2": [("energy", 1), ("entropy", 0.5)], "steering": [("entropy", 0.5)],
    }  # fmt: skip
    for text, message in (
        ("defer sky.entropy>1", "the model has no head 'sky'; it has steering, road-2"),
        ("defer steering.energy>1", "the model has no score 'energy'; it has entropy, expected_entropy, mutual_info"),
        ("defer entropy>p95", "a percentile of 'entropy' is wanted, and the model was not calibrated for it"),
    ):
        with pytest.raises(ValueError, match=message):
            found(text)
    with pytest.raises(ValueError, match="the model has no head 'sky'; it has one without a name"):
        policy.resolve(policy.parse("defer sky.entropy>1"), CONTRACT.heads)
