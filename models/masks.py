"""Binary masks for Masksembles layers (Durasov et al., CVPR 2021) and the statistics that describe them.

The reference generator draws masks until their width fits, and for some settings never succeeds. Here the masks
are constructed: the channels are divided among the masks, so that every channel is used, and each mask then adds
random channels until it keeps M. Two masks overlap as in the paper, IoU ≈ 1/(2S − 1): of up to 16 draws, the one
closest to that is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, prod

import numpy as np
from numpy.typing import NDArray

Seed = int | tuple[int, ...]

_TOLERANCE = 0.1  # of an overlap: a closer draw is not looked for
_DRAWS = 16
_ALIGNMENTS = (16, 8)
_MISALIGNED = 0.034  # lets S = 2 keep 32 of 64 channels, where the formula says 34.1


def ones_per_mask(channels: int, submodels: int, scale: float, align: int | None = None) -> int:
    """The number of channels M that each mask keeps.

    M = max(round(C / (S(1 − (1 − 1/S)^N))), ⌈C/N⌉), the paper's size formula (its Fig. 5) solved for M; with
    `align` > 1 the nearest multiple of it that still lets N masks cover all channels. Without `align` it is 16, or else
    8, where that keeps M/C within 0.034 of the formula's share; else 1.

    Raises:
        ValueError: a setting is out of range, or no multiple of `align` is possible.
    """
    if channels < 2:
        raise ValueError(f"channels must be at least 2, got {channels}")
    if submodels < 1:
        raise ValueError(f"submodels must be at least 1, got {submodels}")
    if not (isfinite(scale) and scale >= 1):
        raise ValueError(f"scale must be a finite number of at least 1 (1 means no masking), got {scale}")
    if align is not None and align < 1:
        raise ValueError(f"align must be at least 1, got {align}")
    # with fewer, N masks could not cover all channels
    least = ceil(channels / submodels)
    share = 1 / _expansion(scale, submodels)
    ones = max(round(channels * share), least)
    if align is None and ones < channels:
        for size in _ALIGNMENTS:
            aligned = round(ones / size) * size
            if least <= aligned < channels and abs(aligned / channels - share) <= _MISALIGNED:
                return aligned
    if align in (None, 1):
        return ones
    lowest, highest = ceil(least / align) * align, channels // align * align
    if lowest > highest:
        raise ValueError(
            f"no multiple of align={align} lies between {least} (for {submodels} masks to cover {channels} channels) "
            f"and {channels}: choose an align of at most {channels} or leave it at 1"
        )
    return min(max(round(ones / align) * align, lowest), highest)


def widen(kept: int, submodels: int, scale: float) -> int:
    """The number of channels C of which each of N masks keeps `kept`: M·S(1 − (1 − 1/S)^N), the paper's Fig. 5."""
    return round(kept * _expansion(scale, submodels))


def generate(channels: int, submodels: int, scale: float, seed: Seed, *, align: int | None = None) -> NDArray[np.bool_]:
    """N masks over C channels: boolean [N, C], every row with exactly `ones_per_mask` ones, no column empty.

    The same arguments give the same masks on every platform and with every NumPy: only the raw stream of the bit
    generator is used, which NumPy guarantees never to change.

    Raises:
        ValueError: as `ones_per_mask`, or a negative seed.
    """
    ones = ones_per_mask(channels, submodels, scale, align)
    bits = _generator(seed)

    def shuffled(values: NDArray[np.int64]) -> NDArray[np.int64]:
        # not Generator.permutation: NumPy may change its stream, but not the raw one of PCG64
        return values[np.argsort(bits.random_raw(len(values)), kind="stable")]

    # from the scale that M really gives: rounding to `align` moves it away from S
    expected = 1 / (2 * _solve_scale(channels / ones, submodels) - 1)
    masks = np.zeros((submodels, channels), dtype=np.bool_)
    for index, own in enumerate(np.array_split(shuffled(np.arange(channels)), submodels)):
        others = np.setdiff1d(np.arange(channels), own)
        closest = inf
        for _ in range(_DRAWS):  # with few channels a pair may by chance lie far from the paper's overlap
            mask = np.zeros(channels, dtype=np.bool_)
            mask[own] = True
            mask[shuffled(others)[: ones - len(own)]] = True
            shared = (masks[:index] & mask).sum(axis=1)
            distance = np.abs(shared / (2 * ones - shared) - expected).max(initial=0)
            if distance < closest:
                closest, masks[index] = distance, mask
            if closest <= _TOLERANCE:
                break
    return masks


def dropout(size: Sequence[int], submodels: int, rate: float, seed: Seed) -> NDArray[np.bool_]:
    """N masks of independent draws, each value kept with probability 1 − rate: boolean [N, *size].

    Raises:
        ValueError: the rate is not in [0, 1), `submodels` is below 1, or a seed negative.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be at least 0 and below 1, got {rate}")
    if submodels < 1:
        raise ValueError(f"submodels must be at least 1, got {submodels}")
    drawn = _generator(seed).random_raw(submodels * prod(size)) >> np.uint64(11)  # the 53 bits of a double
    return (drawn.astype(np.float64) * 2.0**-53 >= rate).reshape(submodels, *size)


@dataclass(frozen=True)
class MaskStatistics:
    """What N masks over C channels do: how much they keep and how far they overlap."""

    kept_fraction: float
    """M / C, the mean share of channels a mask keeps."""
    iou_mean: float
    """Mean intersection over union of all pairs of masks; 1 for a single mask."""
    iou_min: float
    iou_max: float
    effective_scale: float
    """The scale S whose size formula gives this kept fraction; infinite when the masks are disjoint."""


def statistics(masks: NDArray[np.bool_]) -> MaskStatistics:
    """Statistics of masks [N, C] or, of single values of a map, [N, C, …]."""
    submodels = len(masks)
    masks = masks.reshape(submodels, -1)
    # a mean, since the masks of dropout keep different numbers
    kept = float(masks.sum()) / masks.size
    whole = masks.astype(np.int64)
    intersection = whole @ whole.T
    sizes = whole.sum(axis=1)
    union = sizes[:, None] + sizes[None, :] - intersection
    pairs = np.triu_indices(submodels, k=1)
    iou = np.ones(1)
    if submodels > 1:  # two empty masks are equal
        iou = np.divide(intersection[pairs], union[pairs], out=np.ones(len(pairs[0])), where=union[pairs] > 0)
    scale = _solve_scale(1 / kept, submodels) if kept else inf
    return MaskStatistics(kept, float(iou.mean()), float(iou.min()), float(iou.max()), scale)


def _generator(seed: Seed) -> np.random.PCG64:
    words = seed if isinstance(seed, tuple) else (seed,)
    if min(words, default=0) < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    return np.random.PCG64(np.random.SeedSequence((len(words), *words)))  # with the length, or 7 would equal (7, 0)


def _expansion(scale: float, submodels: int) -> float:
    """Channels in use per channel kept, S(1 − (1 − 1/S)^N): from 1 at S = 1 up to N."""
    if scale < 1e6:
        return scale * (1 - (1 - 1 / scale) ** submodels)
    return sum((1 - 1 / scale) ** power for power in range(submodels))  # the same, where the difference would cancel


def _solve_scale(expansion: float, submodels: int) -> float:
    """The scale with this expansion, by bisection in 1/S, where the formula is smooth and monotone."""
    # at both ends rounding may carry the ratio past what any scale gives
    if expansion <= 1 + 1e-12 or submodels == 1:
        return 1.0
    if expansion >= submodels - 1e-12:
        return inf
    low, high = 0.0, 1.0  # bounds of 1/S
    for _ in range(60):  # more halvings than a double has bits
        middle = (low + high) / 2
        if _expansion(1 / middle, submodels) > expansion:
            low = middle
        else:
            high = middle
    return 2 / (low + high)
