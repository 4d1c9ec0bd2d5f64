import hashlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.masks import dropout, generate, ones_per_mask, statistics


@given(
    channels=st.integers(2, 300),
    submodels=st.integers(1, 16),
    scale=st.floats(1, 12),
    seed=st.integers(0, 2**40),
)
def test_exact_size_and_every_channel_used(channels: int, submodels: int, scale: float, seed: int) -> None:
    masks = generate(channels, submodels, scale, seed, align=1)
    size = scale * (1 - (1 - 1 / scale) ** submodels)
    assert masks.shape == (submodels, channels)
    assert masks.dtype == np.bool_
    assert set(masks.sum(axis=1)) == {max(round(channels / size), math.ceil(channels / submodels))}
    assert masks.any(axis=0).all()


# The reference generator raises or never returns on these (channels, submodels, scale).
@pytest.mark.parametrize(
    ("channels", "submodels", "scale"),
    [
        (16, 4, 3.0), (10, 4, 4.0), (16, 4, 4.0), (10, 4, 6.0), (10, 2, 4.0), (16, 2, 4.0), (16, 2, 3.0),
        (10, 2, 6.0), (16, 2, 6.0), (32, 2, 6.0), (64, 2, 6.0), (10, 8, 4.0), (16, 8, 6.0), (32, 8, 6.0),
        (10, 8, 1.0), (1024, 8, 1.1), (10, 4, 10.0),
    ],
)  # fmt: skip
def test_settings_on_which_the_reference_fails(channels: int, submodels: int, scale: float) -> None:
    masks = generate(channels, submodels, scale, seed=0)
    assert masks.any(axis=0).all()
    assert set(masks.sum(axis=1)) == {ones_per_mask(channels, submodels, scale)}


@pytest.mark.parametrize("submodels", [2, 4, 8, 16])
@pytest.mark.parametrize("scale", [1.0, 1.1, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0])
@pytest.mark.parametrize("channels", [128, 512])
def test_overlap_is_that_of_the_paper(channels: int, submodels: int, scale: float) -> None:
    drawn = [statistics(generate(channels, submodels, scale, seed, align=1)) for seed in range(12)]
    expected = 1 / (2 * scale - 1)
    assert np.mean([figures.iou_mean for figures in drawn]) == pytest.approx(expected, abs=0.02)
    assert min(figures.iou_min for figures in drawn) >= expected - 0.15
    assert max(figures.iou_max for figures in drawn) <= expected + 0.15


def test_the_same_masks_everywhere() -> None:
    masks = generate(64, 4, 2.0, (7, 1), align=1)
    digest = hashlib.sha256(np.packbits(masks).tobytes()).hexdigest()
    assert digest == "69e0fdf64f28d3e1e6cc577ab45a296b306e1ded4ba79c5c7e22a51f432e8349"
    assert (masks == generate(64, 4, 2.0, (7, 1), align=1)).all()
    assert (masks != generate(64, 4, 2.0, (7, 2), align=1)).any()
    assert (generate(64, 4, 2.0, 7, align=1) != generate(64, 4, 2.0, (7, 0), align=1)).any()


def test_masks_have_no_regular_pattern() -> None:
    first = np.stack([generate(256, 4, 2.0, seed, align=1)[0] for seed in range(200)])
    share = first.mean(axis=0)  # of the seeds, for each channel: binomial, sd 0.035
    assert np.abs(share - first.mean()).max() < 0.18
    neighbours = (first[:, :-1] == first[:, 1:]).mean()
    assert neighbours == pytest.approx(0.5, abs=0.02)


def test_scale_one_keeps_everything() -> None:
    assert generate(37, 5, 1.0, 0).all()
    figures = statistics(generate(37, 5, 1.0, 0))
    assert (figures.kept_fraction, figures.iou_mean, figures.effective_scale) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("channels", "scale", "ones"),
    [(64, 2.0, 32), (128, 2.0, 64), (64, 3.0, 32), (512, 3.0, 208), (32, 1.0, 32)],
)
def test_align_rounds_to_the_nearest_multiple(channels: int, scale: float, ones: int) -> None:
    masks = generate(channels, 4, scale, 0, align=16)
    assert set(masks.sum(axis=1)) == {ones}
    assert masks.any(axis=0).all()


@pytest.mark.parametrize(
    ("channels", "scale", "ones"),
    [
        (64, 2.0, 32),  # 34.1 by the formula
        (128, 2.0, 64),
        (256, 2.0, 144),  # 136.5
        (512, 3.0, 208),  # 212.7
        (32, 3.0, 13),  # 13.3: neither 8 nor 16 is near enough
        (96, 4.0, 32),  # 35.1
        (300, 1.0, 300),  # S = 1 keeps all
        (64, 1.03, 62),  # and nothing else does
    ],
)
def test_aligned_by_default_where_that_hardly_changes_the_scale(channels: int, scale: float, ones: int) -> None:
    assert ones_per_mask(channels, 4, scale) == ones
    assert set(generate(channels, 4, scale, 0).sum(axis=1)) == {ones}


@given(channels=st.integers(2, 600), submodels=st.integers(1, 8), scale=st.floats(1, 6))
def test_alignment_by_default_stays_near_the_formula(channels: int, submodels: int, scale: float) -> None:
    ones, exact = ones_per_mask(channels, submodels, scale), ones_per_mask(channels, submodels, scale, 1)
    assert ones == exact or (ones % 8 == 0 and abs(ones - exact) <= 0.034 * channels + 0.5)
    assert math.ceil(channels / submodels) <= ones <= channels


@pytest.mark.parametrize(("rate", "size"), [(0.1, (4096,)), (0.5, (64, 8, 8)), (0.0, (64,))])
def test_dropout_drops_at_its_rate(rate: float, size: tuple[int, ...]) -> None:
    masks = dropout(size, 4, rate, 0)
    assert masks.shape == (4, *size)
    assert masks.mean() == pytest.approx(1 - rate, abs=0.02)
    assert (masks == dropout(size, 4, rate, 0)).all()
    if rate:
        assert (masks != dropout(size, 4, rate, 1)).any()
        assert (masks[0] != masks[1]).any()


def test_dropout_refuses_what_is_no_rate() -> None:
    with pytest.raises(ValueError, match=r"rate must be at least 0 and below 1, got 1\.0"):
        dropout((8,), 4, 1.0, 0)


def test_effective_scale_is_that_of_the_size_formula() -> None:
    figures = statistics(generate(64, 4, 2.0, 0, align=16))  # 32 of 64 kept where S = 2 asks for 34
    scale = figures.effective_scale
    assert figures.kept_fraction == 0.5
    assert scale * (1 - (1 - 1 / scale) ** 4) == pytest.approx(2)
    assert statistics(generate(12, 4, 10.0, 0)).effective_scale == math.inf
    assert statistics(generate(2048, 4, 2.0, 0, align=1)).effective_scale == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 4, 2.0, 0), "channels must be at least 2, got 1"),
        ((8, 0, 2.0, 0), "submodels must be at least 1, got 0"),
        ((8, 4, 0.9, 0), "scale must be a finite number of at least 1 .* got 0.9"),
        ((8, 4, math.nan, 0), "scale must be a finite number"),
        ((8, 4, 2.0, -1), "seed must not be negative, got -1"),
    ],
)
def test_impossible_settings_say_what_is_possible(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(*arguments)


def test_an_enormous_scale_gives_disjoint_masks() -> None:
    masks = generate(12, 4, 1e300, 0)
    assert masks.sum(axis=0).tolist() == [1] * 12


def test_impossible_align_says_what_is_possible() -> None:
    with pytest.raises(ValueError, match=r"no multiple of align=16 .* choose an align of at most 10"):
        generate(10, 4, 2.0, 0, align=16)
