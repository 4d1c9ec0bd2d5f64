import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.ranking import rankings, worst_rows


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(10, 60), digits=st.integers(1, 4))
def test_figures_are_those_of_pairs_and_of_ranks(seed: int, rows: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    errors = rng.random(rows).round(digits)
    scores = (errors + rng.normal(0, 0.3, rows)).round(digits)
    found = rankings({"entropy": scores}, errors)["entropy"]
    worst = worst_rows(errors)
    pairs = [(a > b) + (a == b) / 2 for a in scores[worst] for b in scores[~worst]]
    assert found["auroc_worst_tenth"] == pytest.approx(np.mean(pairs))
    ranks = [[(values < one).sum() + ((values == one).sum() + 1) / 2 for one in values] for values in (scores, errors)]
    assert found["spearman"] == pytest.approx(np.corrcoef(np.array(ranks))[0, 1])


@pytest.mark.parametrize(
    ("errors", "worst"),
    [
        (range(30), 3),
        (range(5), 1),
        ([0.0] * 18 + [0.1] * 2, 2),
        ([0.0] * 17 + [0.1] * 3, 3),  # they tie
        ([0.0] * 29 + [0.1], 1),  # the tenth ends among rows without error
        ([1.0] * 15 + [0.5] * 5, 15),
        ([0.5] * 20, 0),
    ],
)
def test_the_worst_tenth_ends_where_errors_differ(errors: list[float], worst: int) -> None:
    values = np.array(errors, np.float64)
    found = worst_rows(values)
    assert found.sum() == worst
    assert worst == 0 or values[found].min() > values[~found].max()


def test_without_differences_there_is_no_ranking() -> None:
    nothing = {"auroc_worst_tenth": None, "spearman": None}
    assert rankings({"a": np.arange(20.0)}, np.full(20, 0.1)) == {"a": nothing}
    assert rankings({"a": np.ones(20)}, np.arange(20.0)) == {"a": {"auroc_worst_tenth": 0.5, "spearman": None}}
    assert rankings({"a": -np.arange(20.0)}, np.arange(20.0)) == {
        "a": {"auroc_worst_tenth": 0.0, "spearman": pytest.approx(-1)}
    }
