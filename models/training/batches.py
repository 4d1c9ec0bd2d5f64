"""The batches of a training run: rows in a new order in each epoch, augmented or trimmed if the recipe says so."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.data import Split
from models.training.recipe import Recipe


class Batches:
    """Batches of a split: normalised float32 inputs, or ids int64 as they are, and labels.

    Args:
        recipe: batch size, seed, rows, augmentation and trimming.
        split: its inputs are an array, or images read on access (`models.data.imagenet`). Labels of cells, with their
            grid's axes last, are mirrored with their image.

    Raises:
        ValueError: the recipe shifts images whose cells have labels; there are none for what comes in.
    """

    def __init__(self, recipe: Recipe, split: Split) -> None:
        self._recipe = recipe
        self._inputs: Any = split.inputs
        self._labels = torch.from_numpy(split.labels[: recipe.rows])
        self._cells = self._labels.ndim > 2
        if self._cells and recipe.crop:
            raise ValueError(f"crop: images whose cells have labels cannot be shifted, got {recipe.crop}")
        self._normalise = None
        if recipe.normalise is not None:
            shape = (1, -1, *[1] * (len(recipe.input_shape) - 1))  # axis 1 is the channels', however many follow
            mean, std = (torch.tensor(values).reshape(shape) for values in recipe.normalise)
            self._normalise = (mean, std)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._labels) // self._recipe.batch_size)

    def epoch(self, index: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch; they do not depend on earlier epochs, so a resumed training draws the same."""
        # recipes with other seeds share none of these, up to 100,003 epochs
        seed = self._recipe.seed * 100_003 + index + 1
        torch.manual_seed(seed)  # global: dropout draws from it, too
        rng = np.random.default_rng(seed)
        for rows in torch.randperm(len(self._labels)).split(self._recipe.batch_size):
            yield self._read(rows, rng)

    def whole(self) -> tuple[Tensor, Tensor]:
        """All rows at once, without augmentation, and their labels."""
        return self._prepared(torch.from_numpy(self._inputs[: len(self._labels)])), self._labels

    def _read(self, rows: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        labels = self._labels[rows]
        if hasattr(self._inputs, "augmented"):
            return self._prepared(torch.from_numpy(self._inputs.augmented(rows.numpy(), rng))), labels
        inputs, labels = self._changed(torch.from_numpy(self._inputs[rows.numpy()]), labels)
        return self._prepared(inputs), labels

    def _prepared(self, batch: Tensor) -> Tensor:
        """In natural units, then normalised; or ids, trimmed."""
        if self._recipe.trim:
            batch = batch[:, : int(batch.any(dim=0).sum())]
        if batch.dtype == torch.uint8:
            batch = batch.float() / 255
        if self._normalise is not None:
            mean, std = self._normalise
            batch = (batch - mean) / std
        return batch

    def _changed(self, batch: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self._recipe.flip:
            mirrored = torch.rand(len(batch)) < 0.5
            batch[mirrored] = batch[mirrored].flip(-1)
            if self._cells:
                labels[mirrored] = labels[mirrored].flip(-1)
        if (most := self._recipe.crop) > 0:
            height, width = batch.shape[-2:]
            # shifted by padding and cropping, each image by its own offset
            padded = torch.nn.functional.pad(batch, (most, most, most, most))
            down, right = torch.randint(2 * most + 1, (2, len(batch)))
            y = down[:, None] + torch.arange(height)
            x = right[:, None] + torch.arange(width)
            # indices around a slice put the sliced axis last: [B, H, W, C]
            batch = padded[torch.arange(len(batch))[:, None, None], :, y[:, :, None], x[:, None, :]]
            batch = batch.permute(0, 3, 1, 2).contiguous()
        return batch, labels
