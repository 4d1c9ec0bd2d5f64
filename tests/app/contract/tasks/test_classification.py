from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.contract.calibration import PredictionSet
from app.contract.tasks.classification import prediction_set_members
from tests.app.engine.fakes import CONTRACT

SHARES = st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any)


@given(st.lists(SHARES, min_size=1, max_size=4), st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_the_most_probable_class_and_all_that_are_probable_enough(rows: list[list[int]], least: float) -> None:
    probabilities = np.array([[share / sum(row) for share in row] for row in rows], np.float32)
    one = PredictionSet(coverage=0.9, least_probability=least, rows=100)
    for row, order, count in zip(probabilities, *prediction_set_members(one, probabilities)):
        first = max(range(3), key=lambda index: (row[index], -index))
        assert order[0] == first
        assert set(order[:count]) == {first} | {index for index in range(3) if row[index] >= least - 1e-6}


def test_a_class_on_the_least_probability_is_in_the_set_however_it_was_rounded() -> None:
    one = PredictionSet(coverage=0.9, least_probability=0.3, rows=100)
    near = [0.3 + 1e-8, 0.3, 0.3 - 5e-7, 0.3 - 2e-6]
    _, counts = prediction_set_members(one, np.array([[1 - value, value] for value in near]))
    assert counts.tolist() == [2, 2, 2, 1]


def test_scores_are_those_of_the_contract() -> None:
    outputs: dict[str, Any] = {name: np.full(2, at, np.float32) for at, name in enumerate(CONTRACT.head.scores)}
    outputs |= {"probabilities": np.array([[0.2, 0.8], [0.7, 0.3]], np.float32), "logits": np.zeros((2, 1, 2))}
    found = CONTRACT.head.score_values(outputs)
    assert tuple(found) == CONTRACT.head.scores
    assert found["confidence"].tolist() == outputs["probabilities"].max(axis=1).tolist()
    assert all((found[name] == outputs[name]).all() for name in found if name != "confidence")
