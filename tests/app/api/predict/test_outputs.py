from typing import Any

import numpy as np
import pytest

from app.api.predict import outputs
from app.api.predict.params import PredictParams
from app.contract.schema import Contract
from app.errors import InvalidInput
from tests.app.api.predict.answering import CLASSIFIER, INTERVALS, REGRESSOR, SETS
from tests.app.engine.fakes import CONTRACT


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
        outputs.choose(PredictParams(**asked), contract)
    assert caught.value.field == field
    assert message in caught.value.message


def test_without_a_wish_it_is_all_but_logits_the_first_set_and_every_interval() -> None:
    selection = outputs.choose(PredictParams(), CLASSIFIER)
    assert "logits" not in selection.chosen
    assert selection.chosen[0] == "prediction"
    assert (selection.policy, selection.regions) == (None, SETS[:1])
    assert outputs.choose(PredictParams(), REGRESSOR).regions == INTERVALS
    assert outputs.choose(PredictParams(), CONTRACT).regions == ()


@pytest.mark.parametrize("coverage", [0.99, float(np.float32(0.99))])
def test_a_coverage_is_found_as_any_client_writes_it(coverage: float) -> None:
    assert outputs.choose(PredictParams(coverage=coverage), CLASSIFIER).regions == SETS[1:]


def test_only_what_is_needed_is_asked_of_the_graph() -> None:
    selection = outputs.choose(PredictParams(outputs=["submodels", "entropy"]), CLASSIFIER)
    assert (selection.chosen, selection.needed) == (("entropy", "submodels"), ("submodels", "entropy"))


def test_a_policy_of_the_request_is_looked_up_in_the_calibration() -> None:
    selection = outputs.choose(PredictParams(policy="defer entropy>p95"), CLASSIFIER)
    assert selection.policy is not None
    assert selection.policy.source == "request"
    assert selection.policy.policy.rules[0].threshold == pytest.approx(0.95)
