"""The batches of a training: rows in a new order in each epoch, changed a little where the recipe says so."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.data import Split
from models.training.recipe import Recipe


class Batches:
    """Batches of a split, inputs float32 as the network takes them, normalised, and labels.

    Args:
        recipe: batch size, seed, and what is done to pictures.
        split: its inputs are an array, or pictures that are read when they are needed (`models.data.imagenet`).
    """

    def __init__(self, recipe: Recipe, split: Split) -> None:
        self._recipe = recipe
        self._inputs: Any = split.inputs
        self._labels = torch.from_numpy(split.labels[: recipe.rows])
        self._normalise = None
        if recipe.normalise is not None:
            mean, std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in recipe.normalise)
            self._normalise = (mean, std)

    def __len__(self) -> int:
        """Of an epoch."""
        return -(-len(self._labels) // self._recipe.batch_size)

    def epoch(self, index: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch; they do not depend on those before it."""
        seed = self._recipe.seed * 100_003 + index + 1
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        for rows in torch.randperm(len(self._labels)).split(self._recipe.batch_size):
            yield self._read(rows, rng), self._labels[rows]

    def _read(self, rows: Tensor, rng: np.random.Generator) -> Tensor:
        if hasattr(self._inputs, "augmented"):
            batch = torch.from_numpy(self._inputs.augmented(rows.numpy(), rng))
        else:
            batch = self._changed(torch.from_numpy(self._inputs[rows.numpy()]))
        if batch.dtype == torch.uint8:
            batch = batch.float() / 255
        if self._normalise is not None:
            mean, std = self._normalise
            batch = (batch - mean) / std
        return batch

    def _changed(self, batch: Tensor) -> Tensor:
        if self._recipe.flip:
            mirrored = torch.rand(len(batch)) < 0.5
            batch[mirrored] = batch[mirrored].flip(-1)
        if (most := self._recipe.crop) > 0:
            height, width = batch.shape[-2:]
            padded = torch.nn.functional.pad(batch, (most, most, most, most))
            down, right = torch.randint(2 * most + 1, (2, len(batch)))
            y = down[:, None] + torch.arange(height)
            x = right[:, None] + torch.arange(width)
            batch = padded[torch.arange(len(batch))[:, None, None], :, y[:, :, None], x[:, None, :]]
            batch = batch.permute(0, 3, 1, 2).contiguous()
        return batch
