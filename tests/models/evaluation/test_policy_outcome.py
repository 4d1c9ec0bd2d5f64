from typing import Any

import numpy as np
import pytest

from app.contract.policy import Policy, Rule
from app.contract.tensor import Tensor
from models.evaluation.answers import Answers
from models.evaluation.policy_outcome import PolicyOutcome, apply_policy, check_images, join
from tests.models.evaluation.answered import CLASSES, CLASSIFIER, CONTRACT

POLICY = Policy(rules=(Rule(action="defer", score="entropy", threshold=0.3),))


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": None}, {"layout": "BHWC"}, {"range": None}, {"range": (0.0, 255.0)},
        {"dtype": "uint8", "layout": "BHWC"},
    ],
)  # fmt: skip
def test_only_images_of_known_axes_and_range_can_be_corrupted(changes: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"name": "x", "dtype": "float32", "shape": ("B", 1, 8, 8), "unit": "grey value"}
    image = {"layout": "BCHW", "range": (0.0, 1.0)}
    check_images(CONTRACT.model_copy(update={"inputs": (Tensor(**plain, **image),)}))
    with pytest.raises(ValueError, match="only images can be corrupted"):
        check_images(CONTRACT.model_copy(update={"inputs": (Tensor(**{**plain, **image, **changes}),)}))


def test_rows_are_counted_by_what_the_policy_says_of_them() -> None:
    found = apply_policy(CLASSIFIER.model_copy(update={"policy": POLICY}), Answers(CLASSES, np.array([0, 0])))
    assert found.errors.tolist() == [[0], [1]]
    assert found.accepted().tolist() == [True, False]
    told = found.plain()
    assert (told["rows"], told["error"], told["error_accepted"]) == (2, [0.5], [0.0])
    assert (told["accept"], told["defer"], told["reject"]) == (0.5, 0.5, 0)
    assert told["sets"] == {"90": {"coverage": 0.5, "size": 1.0}, "99": {"coverage": 1.0, "size": 2.0}}


def test_without_a_policy_all_rows_are_accepted_and_nothing_is_said_of_actions() -> None:
    found = apply_policy(CONTRACT.head, Answers(CLASSES, np.array([1, 1])))
    assert found.accepted().all()
    assert found.plain() == {"rows": 2, "error": [0.5], "sets": {}}


def test_where_nothing_is_accepted_there_is_no_error_of_it() -> None:
    found = PolicyOutcome(np.array([[1.0]]), np.array(["reject"]), {})
    assert found.plain()["error_accepted"] is None


@pytest.mark.parametrize("policy", [POLICY, None])
def test_joined_outcomes_are_those_of_all_rows(policy: Policy | None) -> None:
    head = CLASSIFIER.model_copy(update={"policy": policy})
    labels = np.array([0, 0])
    whole = apply_policy(head, Answers(CLASSES, labels))
    parts = [
        apply_policy(head, Answers({name: values[at : at + 1] for name, values in CLASSES.items()}, labels[:1]))
        for at in (0, 1)
    ]
    assert join(parts).plain() == whole.plain()
