from collections import Counter

import numpy as np
import pytest

from app.api.predict import derived, outputs
from app.api.predict.params import PredictParams
from app.api.predict.tasks.task import OutputSelection
from app.contract.decisions import Decided
from app.contract.schema import Contract
from tests.app.api.predict.answering import CLASSES, CLASSIFIER, NUMBERS, REGRESSOR, model_of
from tests.app.engine.fakes import CONTRACT

SCORES = CONTRACT.head.score_values(CLASSES)


def selection(contract: Contract = CLASSIFIER, policy: str | None = None, operator: str = "") -> OutputSelection:
    (found,) = outputs.choose(PredictParams(policy=policy), model_of(contract, operator))
    return found


def test_without_tables_there_are_no_percentiles() -> None:
    assert derived.percentiles(selection(CONTRACT), SCORES) is None


@pytest.mark.parametrize(
    ("entropies", "expected"),
    [([-1, 0], [0, 0]), ([1, 7], [100, 100]), ([0.25, 0.123456], [25, 12.35]), ([float("inf"), 0.5], [100, 50])],
)
def test_percentiles_have_two_decimals_and_end_at_0_and_100(entropies: list[float], expected: list[float]) -> None:
    found = derived.percentiles(selection(), {**SCORES, "entropy": np.array(entropies)})
    assert found is not None
    assert found == {"entropy": expected}


def test_those_of_a_regressor_are_of_its_own_scores() -> None:
    found = derived.percentiles(selection(REGRESSOR), REGRESSOR.head.score_values(NUMBERS))
    assert found is not None
    assert found["entropy"] == [25, 50]


def test_without_a_policy_nothing_is_decided() -> None:
    decided: Decided = Counter()
    assert derived.decisions(selection(), SCORES, decided) is None
    assert not decided


@pytest.mark.parametrize(
    ("operator", "request_s", "actions", "sources", "counted"),
    [
        ("*=defer entropy>0.3", None, ["accept", "defer"], ["operator"] * 2, {"accept": 1, "defer": 1}),
        ("", "reject entropy>0.3", ["accept", "reject"], ["request"] * 2, {}),
        ("*=defer entropy>0.3", "reject entropy>0.3", ["accept", "reject"], ["operator", "request"],
         {"accept": 1, "defer": 1}),
        ("*=reject entropy>0.1", "defer entropy>0.3", ["reject"] * 2, ["operator"] * 2, {"reject": 2}),
    ],
)  # fmt: skip
def test_a_request_makes_decisions_stricter_and_counts_nothing(
    operator: str, request_s: str | None, actions: list[str], sources: list[str], counted: dict[str, int]
) -> None:
    decided: Decided = Counter()
    found = derived.decisions(selection(policy=request_s, operator=operator), SCORES, decided)
    assert found is not None
    assert [one.action for one in found] == actions
    assert [one.policy for one in found] == sources
    assert decided == {("", action): rows for action, rows in counted.items()}
