import colorsys
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from models.data.corruptions import KINDS, PARAMETERS, SEVERITIES, corrupt


def pictures(count: int = 40, channels: int = 3, height: int = 28, width: int = 36) -> NDArray[np.float32]:
    """Smooth patches with the full range of values."""
    noise = np.random.default_rng(1).random((count, channels, height, width), np.float32)
    smooth = ndimage.gaussian_filter(noise, 1, axes=(2, 3))
    low, high = (f(smooth, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    return (smooth - low) / (high - low)


@pytest.mark.parametrize("family", list(PARAMETERS))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_higher_severity_is_further_away(kind: str, family: str, channels: int) -> None:
    x = pictures(channels=channels)
    kept = x.copy()
    found = [corrupt(x, kind, severity, family=family) for severity in SEVERITIES]  # type: ignore[arg-type]
    distances = [0.0, *(float(np.abs(changed - x).mean()) for changed in found)]
    assert all(less < more for less, more in pairwise(distances)), distances
    assert (x == kept).all()
    for changed in found:
        assert (changed.shape, changed.dtype) == (x.shape, np.float32)
        assert changed.min() >= 0
        assert changed.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_depends_on_seed_and_row_alone(kind: str) -> None:
    x = pictures(6)
    whole = corrupt(x, kind, 3, seed=7)
    some = np.array([4, 1])
    assert (corrupt(x[some], kind, 3, seed=7, rows=some) == whole[some]).all()
    assert (corrupt(x, kind, 3, seed=8) == whole).all() == (not kind.endswith("noise"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_pictures_and_no_pictures(kind: str) -> None:
    assert corrupt(np.zeros((2, 1, 1, 1), np.float32), kind, 5).shape == (2, 1, 1, 1)
    assert corrupt(np.zeros((0, 3, 8, 8), np.float32), kind, 5).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("kind", "severity", "family"),
    [("fog", 1, "cifar"), ("contrast", 0, "cifar"), ("contrast", 6, "cifar"), ("contrast", 1, "mnist")],
)
def test_what_is_not_in_the_table_is_refused(kind: str, severity: int, family: str) -> None:
    with pytest.raises(ValueError, match="expected a family of cifar, imagenet, a kind of gaussian_noise"):
        corrupt(pictures(1), kind, severity, family=family)  # type: ignore[arg-type]


def test_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected images float32 \[B, C, H, W\], got uint8"):
        corrupt(np.zeros((1, 1, 8, 8), np.uint8), "contrast", 1)


def test_noise_has_the_strength_of_the_table() -> None:
    grey = np.full((20, 1, 40, 40), 0.5, np.float32)
    assert corrupt(grey, "gaussian_noise", 5).std() == pytest.approx(0.1, rel=0.02)
    assert corrupt(grey, "speckle_noise", 5).std() == pytest.approx(0.1, rel=0.02)
    assert corrupt(grey, "shot_noise", 5).std() == pytest.approx((0.5 / 50) ** 0.5, rel=0.02)
    impulses = corrupt(grey, "impulse_noise", 5)
    assert (impulses == 0).mean() == pytest.approx(0.035, rel=0.1)
    assert (impulses == 1).mean() == pytest.approx(0.035, rel=0.1)


def test_blur_is_scipys_and_pixelate_pillows() -> None:
    x = pictures(1)
    blurred = ndimage.gaussian_filter(x, 1, axes=(2, 3), mode="nearest")
    np.testing.assert_allclose(corrupt(x, "gaussian_blur", 5), blurred, atol=1e-6)
    small = Image.fromarray(x[0, 0]).resize((int(36 * 0.65), int(28 * 0.65)), Image.Resampling.BOX)
    coarse = np.asarray(small.resize((36, 28), Image.Resampling.BOX))
    np.testing.assert_allclose(corrupt(x, "pixelate", 5)[0, 0], coarse, atol=1e-6)


def test_rotation_is_scipys_and_anticlockwise() -> None:
    x = pictures(1)
    turned = ndimage.rotate(x, 30, axes=(3, 2), reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(corrupt(x, "rotation", 5), turned, atol=1e-5)
    bar = np.zeros((1, 1, 31, 31), np.float32)
    bar[..., 15, 16:] = 1  # to the right
    assert corrupt(bar, "rotation", 5)[0, 0, :15].sum() > 5  # points up


def test_brightness_keeps_hue_and_saturation() -> None:
    x = np.random.default_rng(0).uniform(0.05, 0.6, (5, 3, 1, 1)).astype(np.float32)
    x[0] = 0
    for before, after in zip(x[:, :, 0, 0], corrupt(x, "brightness", 5)[:, :, 0, 0]):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        np.testing.assert_allclose(after, colorsys.hsv_to_rgb(hue, saturation, min(value + 0.3, 1)), atol=1e-6)
