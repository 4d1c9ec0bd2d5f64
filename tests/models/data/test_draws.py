from collections import Counter

import numpy as np
import pytest

from models.data.draws import Draws


def test_a_seed_gives_these_numbers_everywhere() -> None:
    draws = Draws(1, 2)
    raw = np.random.PCG64([1, 2]).random_raw(3)
    assert draws.whole(0, 2**64 - 1) == int(raw[0])
    assert draws.whole(-3, 6) == -3 + int(raw[1]) * 10 // 2**64
    assert draws.octets(2, 3).tolist() == [list(int(raw[2]).to_bytes(8, "little")[i : i + 3]) for i in (0, 3)]


def test_another_seed_gives_others() -> None:
    assert len({Draws(*seed).whole(0, 2**32) for seed in [(0,), (1,), (0, 1), (1, 1), (1, 2)]}) == 5


@pytest.mark.parametrize(("least", "most"), [(0, 0), (-2, 2), (5, 9)])
def test_every_number_within_bounds_is_as_likely(least: int, most: int) -> None:
    draws = Draws(0)
    found = Counter(draws.whole(least, most) for _ in range(2000))
    assert sorted(found) == list(range(least, most + 1))
    assert min(found.values()) > 0.8 * 2000 / len(found)


def test_octets_are_uniform() -> None:
    found = np.bincount(Draws(0).octets(300, 301).ravel(), minlength=256)
    assert found.sum() == 300 * 301
    assert found.min() > 0.8 * 300 * 301 / 256
