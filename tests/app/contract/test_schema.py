"""What a contract must hold of itself; fields that are wrong one by one are in test_reader."""

import re
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from app.contract.policy import Policy, Rule
from app.contract.schema import Compilation, Contract
from app.contract.tasks import regression
from app.contract.tensor import Tensor
from tests import graphs
from tests.app.contract.calibrated import EVEN, calibrated
from tests.app.engine.fakes import CONTRACT

DOUBT = Policy(rules=(Rule(action="defer", score="energy", threshold=1.0),))


def changed(contract: Contract = CONTRACT, **changes: Any) -> Contract:
    return Contract(**{**{name: getattr(contract, name) for name in Contract.model_fields}, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": CONTRACT.outputs[1:]}, "outputs must be prediction, "),
        ({"outputs": (*CONTRACT.outputs, CONTRACT.outputs[0])}, "outputs must be prediction, "),
        ({"outputs": (*CONTRACT.outputs[:-1], CONTRACT.outputs[-1].model_copy(update={"shape": ("B", "K")}))},
         "outputs.logits must be float32 ['B', 'N', 'K'], got float32 ['B', 'K']"),
        ({"outputs": regression.outputs(True)}, "outputs must be prediction, "),
        ({"inputs": CONTRACT.inputs * 2}, "at most 1 item"),
        ({"inputs": (Tensor(name="x", dtype="float32", shape=("B", "K"), unit="feature"),)}, "axes must bound K"),
        ({"schema_version": 0}, "schema_version"),
    ],
)  # fmt: skip
def test_a_contract_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        changed(**changes)


@pytest.mark.parametrize(("aleatoric", "there"), [(True, "entropy, expected_entropy"), (False, "none")])
def test_a_policy_names_scores_that_the_model_has(aleatoric: bool, there: str) -> None:
    assert changed(policy=DOUBT).policy == DOUBT
    _, contract = graphs.regressor(aleatoric=aleatoric)
    with pytest.raises(ValidationError, match=rf"policy\.rules\.0\.score must be one of {there}"):
        changed(contract, policy=DOUBT)


def test_outputs_may_come_in_any_order() -> None:
    assert changed(outputs=CONTRACT.outputs[::-1]).scores == CONTRACT.scores


def test_sizes_are_numbers_but_for_the_batch() -> None:
    tensor = Tensor(name="x", dtype="float32", shape=("B", "N", "K", "D", 7), unit="feature")
    assert CONTRACT.sizes(tensor) == (None, 2, 2, 0, 7)


def test_the_temperature_is_that_of_the_calibration_or_1() -> None:
    assert CONTRACT.temperature == 1
    assert graphs.regressor(aleatoric=True)[1].temperature == 1.5


def test_only_a_regressor_without_variances_has_none() -> None:
    assert CONTRACT.has_temperature
    assert graphs.regressor(aleatoric=True)[1].has_temperature
    assert not graphs.regressor(aleatoric=False)[1].has_temperature


def test_the_plan_is_no_part_of_the_model_and_the_calibration_is() -> None:
    compilation = Compilation(device="cpu", macs=1, macs_single=1)
    assert CONTRACT.same_model(CONTRACT.model_copy(update={"plan": "grouped", "compilation": compilation}))
    assert not CONTRACT.same_model(calibrated(entropy=EVEN))
    assert not CONTRACT.same_model(CONTRACT.model_copy(update={"labels": ("b", "a")}))


def test_confidence_is_the_largest_mean_probability() -> None:
    found: dict[str, Any] = {name: np.array([at, at + 1.0]) for at, name in enumerate(CONTRACT.scores)}
    found["probabilities"] = np.array([[0.2, 0.8], [0.7, 0.3]])
    values = CONTRACT.score_values(found)
    assert list(values) == list(CONTRACT.scores)
    assert values["confidence"].tolist() == [0.8, 0.7]
    assert values["entropy"] is found["entropy"]
