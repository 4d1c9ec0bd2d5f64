from bisect import bisect_right
from contextlib import suppress
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract import policy, schema
from app.contract.calibration import Calibration, Threshold
from app.contract.policy import Clause, DecisionPolicy
from tests.app.engine.fakes import CONTRACT

EVEN = tuple(at / 100 for at in range(101))


def calibrated(**tables: tuple[float, ...]) -> schema.Contract:
    calibration = Calibration(
        data="held out", rows=1000, temperature=1.0, nll_before=1.0, nll_after=1.0, quantiles=tables  # type: ignore[arg-type]
    )  # fmt: skip
    return CONTRACT.model_copy(update={"calibration": calibration})


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
        ("defer entropy>nan", "expected a finite number"),
        ("defer entropy>1e999", "expected a finite number"),
        ("defer entropy>1_0", "expected a finite number"),
        ("defer entropy>p101", "p0 to p100"),
        ("defer entropy>p-1", "p0 to p100"),
        ("defer entropy>c101", "c0 to c100"),
        ("defer entropy>r", "r0 to r100"),
        ("defer entropy>" + "9" * 5000 + "x", "…'"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_part_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^rule ") as caught:
        policy.parse(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


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
    found = policy.resolve(policy.parse("reject energy>p25.5, defer entropy>p95, defer confidence<0.5"), contract)
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
            policy.resolve(policy.parse(text), over)


def test_promises_are_looked_up_among_those_the_model_makes() -> None:
    def promise(score: schema.Score, kind: Literal["coverage", "risk"], target: float, value: float) -> Threshold:
        return Threshold(score=score, promise=kind, target=target, value=value, rows=99, coverage=target)

    made = (
        promise("energy", "coverage", 0.99, -3),
        promise("entropy", "risk", 0.05, 0.4),
        promise("entropy", "risk", 0.01, 0.1),
    )
    contract = calibrated()
    assert contract.calibration is not None
    calibration = contract.calibration.model_copy(update={"thresholds": made})
    contract = contract.model_copy(update={"calibration": calibration})
    found = policy.resolve(policy.parse("reject energy>c99, defer entropy>r5, defer entropy>r1.0"), contract)
    assert [rule.threshold for rule in found.rules] == [-3, 0.4, 0.1]
    for text, over, message in (
        ("reject energy>c95", contract, "promises no c95 of 'energy'; it has c99"),
        ("defer entropy>r10", contract, "promises no r10 of 'entropy'; it has r5, r1"),
        ("defer confidence<r5", contract, "promises no r5 of 'confidence'; it has none"),
        ("defer entropy>r5", CONTRACT, "it has none"),
        ("defer energy>c99", _without_energy(), "the model has no score 'energy'"),
    ):
        with pytest.raises(ValueError, match=message):
            policy.resolve(policy.parse(text), over)


def test_promises_are_looked_up_too() -> None:
    parts = {"rows": 100, "coverage": 0.9}
    promises = (
        Threshold(score="entropy", promise="coverage", target=0.975, value=0.8, **parts),
        Threshold(score="entropy", promise="risk", target=0.05, value=0.4, risk=0.01, confidence_level=0.9, **parts),
        Threshold(score="energy", promise="risk", target=0.01, value=-3, risk=0.01, confidence_level=0.9, **parts),
    )
    contract = calibrated(entropy=EVEN)
    assert contract.calibration is not None
    calibration = contract.calibration.model_copy(update={"thresholds": promises})
    contract = contract.model_copy(update={"calibration": calibration})
    found = policy.resolve(policy.parse("reject energy>r1, defer entropy>c97.5, defer entropy>r5"), contract)
    assert [rule.threshold for rule in found.rules] == [-3, 0.8, 0.4]
    with pytest.raises(ValueError, match=r"promises no c90 of 'entropy'; it has c97\.5, r5"):
        policy.resolve(policy.parse("defer entropy>c90"), contract)
    with pytest.raises(ValueError, match=r"promises no r5 of 'entropy'; it has none"):
        policy.resolve(policy.parse("defer entropy>r5"), CONTRACT)


def _without_energy() -> schema.Contract:
    parts = {"task": "regression", "labels": (), "targets": (schema.Target(name="y", unit="m"),)}
    return CONTRACT.model_copy(update={**parts, "outputs": schema.regressor_outputs(True)})


def place(table: tuple[float, ...], value: float) -> float:
    """The percentile in plain Python."""
    if value < table[0]:
        return 0
    at = bisect_right(table, value) - 1
    return 100 if at == 100 else at + (value - table[at]) / (table[at + 1] - table[at])


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0]), min_size=101, max_size=101).map(sorted),
    st.lists(st.floats(-1, 3, width=16), min_size=1, max_size=5),
)
def test_a_percentile_is_linear_between_quantiles_and_the_highest_of_equals(
    table: list[float], values: list[float]
) -> None:
    found = policy.percentiles(np.array(table), np.array(values, np.float32))
    assert found.tolist() == pytest.approx([place(tuple(table), value) for value in values])


def test_a_score_that_was_the_same_on_all_rows_has_no_table() -> None:
    found = policy.tables(calibrated(entropy=EVEN, mutual_information=(0.0,) * 101, energy=(-1.0,) * 100 + (0.0,)))
    assert {score: table.tolist() for score, table in found.items()} == {
        "entropy": list(EVEN), "energy": [-1.0] * 100 + [0.0],
    }  # fmt: skip
    assert policy.tables(CONTRACT) == {}


def test_scores_are_those_of_the_contract() -> None:
    outputs = {name: np.full(2, at, np.float32) for at, name in enumerate(CONTRACT.scores)}
    outputs |= {"probabilities": np.array([[0.2, 0.8], [0.7, 0.3]], np.float32), "logits": np.zeros((2, 1, 2))}
    found = policy.scores(CONTRACT, outputs)
    assert tuple(found) == CONTRACT.scores
    assert found["confidence"].tolist() == outputs["probabilities"].max(axis=1).tolist()
    assert all((found[name] == outputs[name]).all() for name in found if name != "confidence")


def test_the_first_rule_that_applies_decides() -> None:
    rules = policy.parse("reject energy>-1, defer entropy>0.5, defer confidence<0.6")
    judge = DecisionPolicy(policy.resolve(rules, CONTRACT), "model")
    scores = {
        "energy": np.array([0, -2, -2, -2], np.float32),
        "entropy": np.array([0.9, 0.9, 0.1, 0.1], np.float32),
        "confidence": np.array([0.1, 0.1, 0.1, 0.9], np.float32),
    }
    found = [(one.action, one.score, float(one.value), one.threshold) for one in judge.decide(scores)]
    assert found == [
        ("reject", "energy", 0, -1),
        ("defer", "entropy", pytest.approx(0.9), 0.5),
        ("defer", "confidence", pytest.approx(0.1), 0.6),
        ("accept", "confidence", pytest.approx(0.9), 0.6),
    ]


@pytest.mark.parametrize("text", ["defer entropy>0.62", "defer confidence<0.62", "defer energy>-0.62"])
def test_a_score_on_its_threshold_is_accepted_however_it_was_rounded(text: str) -> None:
    judge = DecisionPolicy(policy.resolve(policy.parse(text), CONTRACT), "model")
    (score,) = (rule.score for rule in judge.policy.rules)
    on = np.float32(judge.policy.rules[0].threshold)
    for value, action in (
        (np.nextafter(on, np.float32(9)), "accept"),
        (np.nextafter(on, np.float32(-9)), "accept"),
        (on + np.float32(-1e-5 if score == "confidence" else 1e-5), "defer"),
    ):
        assert judge.decide({score: np.array([value])})[0].action == action


def test_of_two_decisions_the_more_severe_one_stands_and_of_equals_the_first() -> None:
    def decisions(source: policy.Source, text: str) -> list[policy.Decision]:
        judge = DecisionPolicy(policy.resolve(policy.parse(text), CONTRACT), source)
        return judge.decide({"entropy": np.array([0.1, 0.3, 0.5, 0.7])})

    own = decisions("operator", "reject entropy>0.6, defer entropy>0.4")
    others = decisions("request", "reject entropy>0.4, defer entropy>0.2")
    found = [(one.action, one.policy) for one in policy.stricter(own, others)]
    assert found == [("accept", "operator"), ("defer", "request"), ("reject", "request"), ("reject", "operator")]


def test_the_operator_decides_before_the_model_does() -> None:
    own = schema.Policy(rules=(schema.Rule(action="defer", score="entropy", threshold=1),))
    contract = CONTRACT.model_copy(update={"policy": own})
    others = policy.parse_all("a=defer energy>1; b=none; *=defer energy>2")

    def chosen(policies: policy.Policies, name: str) -> tuple[str, float] | None:
        judge = policy.judge(policies, name, contract)
        return None if judge is None else (judge.source, judge.policy.rules[0].threshold)

    assert chosen(policy.NO_POLICIES, "a") == ("model", 1)
    assert chosen(others, "a") == ("operator", 1)
    assert chosen(others, "b") is None
    assert chosen(others, "c") == ("operator", 2)
    assert policy.judge(policy.NO_POLICIES, "a", CONTRACT) is None
