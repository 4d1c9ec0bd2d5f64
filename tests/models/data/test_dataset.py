import numpy as np
import pytest

from models.data import Dataset, Split
from models.data.dataset import shuffled


def dataset(channels: int, layout: str) -> Dataset:
    split = Split(np.zeros((3, channels, 2, 2), np.float32), np.zeros(3, np.int64))
    return Dataset("d", ("a", "b"), split, split, split, value_range=None, unit="x", layout=layout)


@pytest.mark.parametrize(
    ("channels", "layout", "expected"),
    [(1, "", None), (2, "BCHW", None), (4, "BCHW", None), (1, "BCHW", "grey"), (3, "BCHW", "rgb")],
)
def test_only_images_of_one_or_three_channels_have_a_colour(channels: int, layout: str, expected: str | None) -> None:
    assert dataset(channels, layout).colour == expected


@pytest.mark.parametrize("count", [0, 1, 1797])
def test_a_permutation_has_every_index_once(count: int) -> None:
    assert sorted(shuffled(count, 3).tolist()) == list(range(count))


def test_it_is_the_same_everywhere_for_a_seed() -> None:
    assert shuffled(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert shuffled(8, 1).tolist() != shuffled(8, 0).tolist()
