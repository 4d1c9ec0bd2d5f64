"""Rows for the segmentation model of `tests.dense_graphs`, labelled as its own probabilities say."""

import numpy as np
from numpy.typing import NDArray

from models.data import Split
from tests import artefacts, dense_graphs

K, SIZES = dense_graphs.K, (8, 16)
COUNT = 300


def pictures(seed: int = 0, count: int = COUNT) -> NDArray[np.uint8]:
    """Some with flat regions and some with noise, so that rows differ in how doubtful they are: [B, 1, 8, 16]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 1, 2, 4)).repeat(4, axis=2).repeat(4, axis=3)
    noise = rng.normal(0, 1, (count, 1, *SIZES)) * rng.integers(0, 80, (count, 1, 1, 1))
    return np.clip(coarse + noise, 0, 255).astype(np.uint8)


def segmented(sharpness: float = 1.0, seed: int = 0, ignored: float = 0.1) -> Split:
    """Classes drawn from the mean of the submodels, of logits that many times as large; some cells do not count."""
    inputs, rng = pictures(seed), np.random.default_rng(seed + 1)
    logits = artefacts.run(dense_graphs.segmentation()[0], inputs, ["logits"])["logits"]
    probable = dense_graphs.probabilities(sharpness * logits).mean(axis=1)
    labels = (np.log(probable) + rng.gumbel(0, 1, probable.shape)).argmax(axis=1)
    labels[rng.random(labels.shape) < ignored] = -1
    return Split(inputs, labels)
