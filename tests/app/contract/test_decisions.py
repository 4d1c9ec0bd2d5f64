from typing import Any

import numpy as np
import pytest

from app.contract import policy
from app.contract.contract_model import Score
from app.contract.decisions import Decision, DecisionPolicy, Source, policies_for, stricter
from app.contract.policy import Policy, Rule
from tests.app.engine.fakes import CONTRACT


def test_the_first_rule_that_applies_decides() -> None:
    rules = policy.parse("reject energy>-1, defer entropy>0.5, defer confidence<0.6")
    decider = DecisionPolicy(policy.resolve(rules, CONTRACT.heads)[""], "model")
    scores: dict[Score, Any] = {
        "energy": np.array([0, -2, -2, -2], np.float32),
        "entropy": np.array([0.9, 0.9, 0.1, 0.1], np.float32),
        "confidence": np.array([0.1, 0.1, 0.1, 0.9], np.float32),
    }
    found = [(one.action, one.score, float(one.value), one.threshold) for one in decider.decide(scores)]
    assert found == [
        ("reject", "energy", 0, -1),
        ("defer", "entropy", pytest.approx(0.9), 0.5),
        ("defer", "confidence", pytest.approx(0.1), 0.6),
        ("accept", "confidence", pytest.approx(0.9), 0.6),
    ]


@pytest.mark.parametrize(
    "text", ["defer entropy>0.62", "defer confidence<0.62", "defer energy>-0.62", "defer energy<-0.62"]
)
def test_a_score_on_its_threshold_is_accepted_however_it_was_rounded(text: str) -> None:
    decider = DecisionPolicy(policy.resolve(policy.parse(text), CONTRACT.heads)[""], "model")
    (rule,) = decider.policy.rules
    score, on = rule.score, np.float32(rule.threshold)
    for value, action in (
        (np.nextafter(on, np.float32(9)), "accept"),
        (np.nextafter(on, np.float32(-9)), "accept"),
        (on + np.float32(1e-5 if ">" in text else -1e-5), "defer"),
    ):
        assert decider.decide({score: np.array([value])})[0].action == action


def test_energy_is_bounded_from_both_sides() -> None:
    rules = policy.parse("reject energy<-20, defer energy>-1")
    decider = DecisionPolicy(policy.resolve(rules, CONTRACT.heads)[""], "model")
    found = decider.decide({"energy": np.array([-287, -5, 0], np.float32)})
    assert [(one.action, one.threshold) for one in found] == [("reject", -20), ("accept", -1), ("defer", -1)]


def test_of_two_decisions_the_more_severe_one_stands_and_of_equals_the_first() -> None:
    def decided(source: Source, text: str) -> list[Decision]:
        decider = DecisionPolicy(policy.resolve(policy.parse(text), CONTRACT.heads)[""], source)
        return decider.decide({"entropy": np.array([0.1, 0.3, 0.5, 0.7])})

    own = decided("operator", "reject entropy>0.6, defer entropy>0.4")
    others = decided("request", "reject entropy>0.4, defer entropy>0.2")
    found = [(one.action, one.policy) for one in stricter(own, others)]
    assert found == [("accept", "operator"), ("defer", "request"), ("reject", "request"), ("reject", "operator")]


def test_the_operator_decides_before_the_model_does() -> None:
    own = Policy(rules=(Rule(action="defer", score="entropy", threshold=1),))
    contract = CONTRACT.with_head(CONTRACT.head, policy=own)
    others = policy.parse_all("a=defer energy>1; b=none; *=defer energy>2")

    def chosen(policies: policy.Policies, name: str) -> tuple[str, float] | None:
        decider = policies_for(policies, name, contract).get("")
        return None if decider is None else (decider.source, decider.policy.rules[0].threshold)

    assert chosen(policy.NO_POLICIES, "a") == ("model", 1)
    assert chosen(others, "a") == ("operator", 1)
    assert chosen(others, "b") is None
    assert chosen(others, "c") == ("operator", 2)
    assert policies_for(policy.NO_POLICIES, "a", CONTRACT) == {}


def test_each_head_is_decided_on_by_its_own_policy() -> None:
    own = Policy(rules=(Rule(action="defer", score="entropy", threshold=1),))
    steering, road = (CONTRACT.head.model_copy(update={"name": name}) for name in ("steering", "road"))
    contract = CONTRACT.model_copy(update={"heads": (steering.model_copy(update={"policy": own}), road)})

    def chosen(text: str) -> dict[str, tuple[str, float]]:
        found = policies_for(policy.parse_all(text), "a", contract)
        return {name: (one.source, one.policy.rules[0].threshold) for name, one in found.items()}

    assert chosen("") == {"steering": ("model", 1)}
    assert chosen("a=defer road.energy>2") == {"road": ("operator", 2)}  # it replaces all that the model has
    assert chosen("a=reject energy>3") == {"steering": ("operator", 3), "road": ("operator", 3)}
    assert chosen("a=none") == {}
