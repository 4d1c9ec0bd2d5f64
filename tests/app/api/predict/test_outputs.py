from typing import Any

import numpy as np
import pytest

from app.api.predict import outputs
from app.api.predict.params import PredictParams
from app.api.predict.tasks.task import OutputSelection
from app.contract.schema import Contract
from app.errors import InvalidInput
from tests.app.api.predict.answering import CLASSIFIER, INTERVALS, REGRESSOR, SETS, model_of
from tests.app.engine.fakes import CONTRACT


def chosen(contract: Contract, **asked: Any) -> OutputSelection:
    (found,) = outputs.choose(PredictParams(**asked), model_of(contract))
    return found


@pytest.mark.parametrize(
    ("contract", "asked", "field", "message"),
    [
        (CLASSIFIER, {"outputs": ["intervals"]}, "outputs[0]", "unknown output 'intervals'"),
        (REGRESSOR, {"outputs": ["prediction", "logits"]}, "outputs[1]", "unknown output 'logits'"),
        (CLASSIFIER, {"policy": "no"}, "policy", "expected ACTION"),
        (CLASSIFIER, {"policy": "defer energy>p95"}, "policy", "not calibrated for it"),
        (REGRESSOR, {"policy": "defer energy>1"}, "policy", "no score 'energy'"),
        (CLASSIFIER, {"coverage": 0.95}, "coverage", "there are: 0.9, 0.99"),
        (CLASSIFIER, {"coverage": 0.90001}, "coverage", "there are: 0.9, 0.99"),
        (REGRESSOR, {"coverage": 0.99}, "coverage", "there are: 0.8, 0.9"),
        (CONTRACT, {"coverage": 0.9}, "coverage", "there are: none"),
    ],
)
def test_what_the_model_has_not_is_refused(contract: Contract, asked: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        chosen(contract, **asked)
    assert caught.value.field == field
    assert message in caught.value.message


def test_without_a_wish_it_is_all_but_logits_the_first_set_and_every_interval() -> None:
    selection = chosen(CLASSIFIER)
    assert "logits" not in selection.chosen
    assert selection.chosen[0] == "prediction"
    assert (selection.policies, selection.regions) == ((), SETS[:1])
    assert chosen(REGRESSOR).regions == INTERVALS
    assert chosen(CONTRACT).regions == ()


@pytest.mark.parametrize("coverage", [0.99, float(np.float32(0.99))])
def test_a_coverage_is_found_as_any_client_writes_it(coverage: float) -> None:
    assert chosen(CLASSIFIER, coverage=coverage).regions == SETS[1:]


def test_only_what_is_needed_is_asked_of_the_graph() -> None:
    selection = chosen(CLASSIFIER, outputs=["submodels", "entropy"])
    assert (selection.chosen, selection.needed) == (("entropy", "submodels"), ("submodels", "entropy"))


def test_a_policy_of_the_request_is_looked_up_in_the_calibration() -> None:
    (policy,) = chosen(CLASSIFIER, policy="defer entropy>p95").policies
    assert policy.source == "request"
    assert policy.policy.rules[0].threshold == pytest.approx(0.95)


def test_a_policy_of_the_request_comes_after_that_of_the_operator() -> None:
    model = model_of(CLASSIFIER, "*=defer entropy>0.5")
    (selection,) = outputs.choose(PredictParams(policy="reject energy>0"), model)
    assert [policy.source for policy in selection.policies] == ["operator", "request"]
    assert list(selection.tables) == ["entropy"]


def test_what_was_asked_before_is_known_up_to_a_bound() -> None:
    model = model_of(CLASSIFIER)
    first = outputs.choose(PredictParams(outputs=["prediction"]), model)
    assert outputs.choose(PredictParams(outputs=["prediction"]), model) is first
    for at in range(100):
        outputs.choose(PredictParams(coverage=0.9 + at * 1e-9), model)
    late = [outputs.choose(PredictParams(outputs=["entropy"]), model) for _ in range(2)]
    assert late[0] is not late[1]
    assert [one.chosen for (one,) in late] == [("entropy",)] * 2
    assert outputs.choose(PredictParams(outputs=["prediction"]), model) is first


def test_policy_and_coverage_are_not_those_of_another_request() -> None:
    model = model_of(CLASSIFIER)
    chosen = [
        outputs.choose(PredictParams(outputs=["decision"], **asked), model)[0]
        for asked in ({}, {"policy": "defer entropy>1"}, {"policy": "defer entropy>2"}, {"coverage": 0.99}, {})
    ]
    assert [[one.policy.rules[0].threshold for one in each.policies] for each in chosen] == [[], [1], [2], [], []]
    assert [each.regions[0].coverage for each in chosen] == [0.9, 0.9, 0.9, 0.99, 0.9]
