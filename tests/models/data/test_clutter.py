import numpy as np
import pytest

from models.data.clutter import clutter
from models.data.draws import Draws


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (200, 120), (8, 512)])
def test_it_has_the_size_and_is_the_same_for_a_seed(height: int, width: int) -> None:
    first, again, other = (clutter(height, width, Draws(seed)) for seed in (0, 0, 1))
    assert first.shape == (height, width)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.8


def test_it_is_as_dark_and_as_bright_as_items_but_mostly_a_gradient() -> None:
    found = np.stack([clutter(64, 64, Draws(0, index)) for index in range(100)])
    assert found.min() == 0
    assert found.max() > 250
    assert (found <= 120 + 12).mean() > 0.9
    quarters = found.reshape(100, 2, 32, 2, 32).mean(axis=(2, 4)).reshape(100, 4)
    assert np.ptp(quarters, axis=1).mean() > 20


def test_patches_are_noisier_than_the_gradient() -> None:
    found = np.stack([clutter(64, 64, Draws(0, index)) for index in range(100)]).astype(float)
    spread = found.reshape(100, 16, 4, 16, 4).std(axis=(2, 4))  # of squares of 4 by 4
    assert np.median(spread) < 24 / 12**0.5 + 2  # uniform noise
    assert (spread > 20).mean() > 0.03
