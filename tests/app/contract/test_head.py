"""What a head must hold of itself, and what it says of its outputs."""

import re
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from app.contract.head import Head
from app.contract.policy import Policy, Rule
from app.contract.tasks import classification, regression
from tests import graphs
from tests.app.contract.calibrated import EVEN, calibrated
from tests.app.engine.fakes import CONTRACT

HEAD = CONTRACT.head
DOUBT = Policy(rules=(Rule(action="defer", score="energy", threshold=1.0),))


def changed(head: Head = HEAD, **changes: Any) -> Head:
    return Head(**{**{name: getattr(head, name) for name in Head.model_fields}, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": HEAD.outputs[1:]}, "outputs must be prediction, "),
        ({"outputs": (*HEAD.outputs, HEAD.outputs[0])}, "outputs must be prediction, "),
        ({"outputs": (*HEAD.outputs[:-1], HEAD.outputs[-1].model_copy(update={"shape": ("B", "K")}))},
         "outputs.logits must be float32 ['B', 'N', 'K'], got float32 ['B', 'K']"),
        ({"outputs": regression.outputs(True)}, "outputs must be prediction, "),
        ({"grid": ("H", "W")}, "row_shares, row_confidence"),
        ({"grid": ("H", "W"), "outputs": classification.outputs(("W", "H"))},
         "outputs.prediction must be int64 ['B', 'H', 'W'], got int64 ['B', 'W', 'H']"),
        ({"grid": ("H/0",)}, "grid.0"),
        ({"grid": (0,)}, "grid.0"),
        ({"name": "Road"}, "name"),
        ({"name": "a.b"}, "name"),
        ({"name": "x" * 65}, "name"),
    ],
)  # fmt: skip
def test_a_head_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        changed(**changes)


@pytest.mark.parametrize(("aleatoric", "there"), [(True, "entropy, expected_entropy"), (False, "none")])
def test_a_policy_names_scores_that_the_head_has(aleatoric: bool, there: str) -> None:
    assert changed(policy=DOUBT).policy == DOUBT
    _, contract = graphs.regressor(aleatoric=aleatoric)
    with pytest.raises(ValidationError, match=rf"policy\.rules\.0\.score must be one of {there}"):
        changed(contract.head, policy=DOUBT)


def test_outputs_may_come_in_any_order() -> None:
    assert changed(outputs=HEAD.outputs[::-1]).scores == HEAD.scores


def test_the_temperature_is_that_of_the_calibration_or_1() -> None:
    assert HEAD.temperature == 1
    assert graphs.regressor(aleatoric=True)[1].head.temperature == 1.5


def test_only_a_regressor_without_variances_has_none() -> None:
    assert HEAD.has_temperature
    assert graphs.regressor(aleatoric=True)[1].head.has_temperature
    assert not graphs.regressor(aleatoric=False)[1].head.has_temperature


def test_confidence_is_the_largest_mean_probability() -> None:
    found: dict[str, Any] = {name: np.array([at, at + 1.0]) for at, name in enumerate(HEAD.scores)}
    found["probabilities"] = np.array([[0.2, 0.8], [0.7, 0.3]])
    values = HEAD.score_values(found)
    assert list(values) == list(HEAD.scores)
    assert values["confidence"].tolist() == [0.8, 0.7]
    assert values["entropy"] is found["entropy"]


def test_the_scores_of_a_dense_head_are_the_graph_s_means_over_its_grid() -> None:
    dense = changed(grid=(2, "W/8"), outputs=classification.outputs((2, "W/8")))
    found: dict[str, Any] = {f"row_{name}": np.array([at, at + 1.0]) for at, name in enumerate(dense.scores)}
    values = dense.score_values(found)
    assert {name: value.tolist() for name, value in values.items()} == {
        name: [at, at + 1] for at, name in enumerate(HEAD.scores)
    }


def test_outputs_of_a_head_with_a_name_come_after_it_and_a_dot() -> None:
    road = changed(name="road")
    assert (road.graph_name("entropy"), HEAD.graph_name("entropy")) == ("road.entropy", "entropy")
    assert (road.temperature_name, HEAD.temperature_name) == ("road.temperature", "temperature")
    found = {"road.entropy": np.array([1.0]), "roadside.entropy": np.array([2.0]), "energy": np.array([3.0])}
    assert {name: values.tolist() for name, values in road.own(found).items()} == {"entropy": [1]}
    assert HEAD.own(found) is found


def test_in_the_graph_letters_are_numbers() -> None:
    dense = changed(name="road", grid=("H", "W/8"), outputs=classification.outputs(("H", "W/8")))
    found = {tensor.name: dense.resolved(tensor, 5).shape for tensor in dense.outputs}
    assert found["submodels"] == ("B", 5, 2, "H", "W/8")
    assert dense.resolved(dense.outputs[0], 5).name == "road.prediction"
    _, regressor = graphs.regressor(aleatoric=False)
    assert regressor.head.resolved(regressor.head.outputs[1], 7).shape == ("B", 7, 2)


def test_it_warns_of_what_its_calibration_could_hardly_bear() -> None:
    head = calibrated(entropy=EVEN).head
    assert (HEAD.warnings, head.warnings) == ((), ())
    assert head.calibration is not None
    calibration = head.calibration.model_copy(update={"warnings": ("few rows",)})
    assert changed(calibration=calibration).warnings == ("few rows",)
