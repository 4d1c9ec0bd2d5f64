from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract import percentiles
from tests.app.contract.calibrated import EVEN, calibrated
from tests.app.engine.fakes import CONTRACT


def place(table: tuple[float, ...], value: float) -> float:
    """The percentile in plain Python."""
    if value < table[0]:
        return 0
    at = bisect_right(table, value) - 1
    return 100 if at == 100 else at + (value - table[at]) / (table[at + 1] - table[at])


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0]), min_size=101, max_size=101).map(sorted),
    st.lists(st.floats(-1, 3, width=16), min_size=1, max_size=30),
)
def test_a_percentile_is_linear_between_quantiles_and_the_highest_of_equals(
    table: list[float], values: list[float]
) -> None:
    found = percentiles.QuantileTable(table).percentages(np.array(values, np.float32))
    assert found == pytest.approx([place(tuple(table), value) for value in values], abs=0.006)


def test_a_score_that_was_the_same_on_all_rows_has_no_table() -> None:
    found = percentiles.quantile_tables(
        calibrated(entropy=EVEN, mutual_information=(0.0,) * 101, energy=(-1.0,) * 100 + (0.0,)).head
    )
    assert {score: table.quantiles for score, table in found.items()} == {
        "entropy": list(EVEN), "energy": [-1.0] * 100 + [0.0],
    }  # fmt: skip
    assert percentiles.quantile_tables(CONTRACT.head) == {}


@pytest.mark.parametrize("count", [0, 1, 8, 9, 100])
def test_few_and_many_values_are_placed_alike(count: int) -> None:
    values = np.random.default_rng(0).uniform(-0.1, 1.1, count)
    found = percentiles.QuantileTable(EVEN).percentages(values)
    assert found == [round(place(tuple(EVEN), value), 2) for value in values]
