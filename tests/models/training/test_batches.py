from dataclasses import replace

import numpy as np
import pytest
import torch

from models.data import Split
from models.training.batches import Batches
from models.training.recipe import Recipe

RECIPE = Recipe(data="x", network="cnn", input_shape=(2, 8, 8), classes=10, batch_size=4)
PICTURES = np.random.default_rng(0).integers(1, 256, (10, 2, 8, 8), dtype=np.uint8)
SPLIT = Split(PICTURES, np.arange(10))


def test_an_epoch_has_every_row_once_with_its_label() -> None:
    batches = list(Batches(RECIPE, SPLIT).epoch(0))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert len(Batches(RECIPE, SPLIT)) == 3
    rows, labels = torch.cat([rows for rows, _ in batches]), torch.cat([labels for _, labels in batches])
    assert sorted(labels.tolist()) == list(range(10))
    torch.testing.assert_close(rows, torch.from_numpy(PICTURES[labels.numpy()]).float() / 255)


def test_an_epoch_does_not_depend_on_those_before_it() -> None:
    recipe = replace(RECIPE, flip=True, crop=2)
    batches = Batches(recipe, SPLIT)
    first = [labels.tolist() for _, labels in batches.epoch(0)]
    second, again = list(batches.epoch(1)), list(Batches(recipe, SPLIT).epoch(1))
    for (rows, labels), (same_rows, same_labels) in zip(second, again, strict=True):
        assert torch.equal(rows, same_rows)
        assert torch.equal(labels, same_labels)
    assert first != [labels.tolist() for _, labels in batches.epoch(1)]


def test_pictures_are_shifted_with_zeros_coming_in() -> None:
    (rows, labels), *_ = Batches(replace(RECIPE, crop=2, batch_size=10), SPLIT).epoch(0)
    shifts = set()
    for row, label in zip(rows, labels):
        padded = np.pad(PICTURES[label], ((0, 0), (2, 2), (2, 2))) / np.float32(255)
        found = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if np.allclose(padded[:, down : down + 8, right : right + 8], row)
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 3


def test_half_of_the_pictures_are_mirrored() -> None:
    (rows, labels), *_ = Batches(replace(RECIPE, flip=True, batch_size=10), SPLIT).epoch(0)
    plain = torch.from_numpy(PICTURES[labels.numpy()]).float() / 255
    mirrored = [torch.equal(row, before.flip(-1)) for row, before in zip(rows, plain)]
    assert 0 < sum(mirrored) < 10
    assert all(turned or torch.equal(row, before) for turned, row, before in zip(mirrored, rows, plain))
    assert np.array_equal(
        PICTURES, np.random.default_rng(0).integers(1, 256, PICTURES.shape, dtype=np.uint8)
    )  # the data itself stays


def test_labels_of_cells_are_mirrored_with_their_picture() -> None:
    cells = Split(PICTURES, PICTURES[:, 0].astype(np.int64))
    before = cells.labels.copy()
    turned = 0
    for rows, labels in Batches(replace(RECIPE, flip=True), cells).epoch(0):
        assert torch.equal((rows[:, 0] * 255).round().long(), labels)
        turned += sum(not (before == label.numpy()).all(axis=(1, 2)).any() for label in labels)
    assert 0 < turned < 10
    np.testing.assert_array_equal(cells.labels, before)  # the data itself stays


def test_pictures_whose_cells_have_labels_are_not_shifted() -> None:
    with pytest.raises(ValueError, match="crop: images whose cells have labels cannot be shifted, got 2"):
        Batches(replace(RECIPE, crop=2), Split(PICTURES, PICTURES[:, 0].astype(np.int64)))


def test_normalised_by_channel() -> None:
    recipe = replace(RECIPE, normalise=((0.5, 0.25), (0.5, 2.0)), batch_size=10)
    ((rows, labels),) = Batches(recipe, SPLIT).epoch(0)
    pixels = PICTURES[labels.numpy()] / np.float32(255)
    expected = (pixels - np.array([0.5, 0.25], np.float32)[:, None, None]) / np.array([0.5, 2], np.float32)[
        :, None, None
    ]
    torch.testing.assert_close(rows, torch.from_numpy(expected))


@pytest.mark.parametrize("shape", [(2,), (2, 5), (2, 3, 4), (2, 3, 4, 5)])
def test_normalised_by_channel_whatever_follows_it(shape: tuple[int, ...]) -> None:
    inputs = np.random.default_rng(0).random((10, *shape), np.float32)
    recipe = replace(RECIPE, input_shape=shape, normalise=((0.5, 0.25), (0.5, 2.0)), batch_size=10)
    ((rows, labels),) = Batches(recipe, Split(inputs, np.arange(10))).epoch(0)
    given = inputs[labels.numpy()]
    expected = np.stack([(given[:, 0] - 0.5) / 0.5, (given[:, 1] - 0.25) / 2], axis=1)
    torch.testing.assert_close(rows, torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_whole_is_every_row_in_order_without_changes_at_random() -> None:
    recipe = replace(RECIPE, rows=6, flip=True, crop=2, normalise=((0.5, 0.25), (0.5, 2.0)))
    rows, labels = Batches(recipe, SPLIT).whole()
    pixels = PICTURES[:6] / np.float32(255)
    expected = (pixels - np.array([0.5, 0.25], np.float32)[:, None, None]) / np.array([0.5, 2], np.float32)[
        :, None, None
    ]
    torch.testing.assert_close(rows, torch.from_numpy(expected))
    assert labels.tolist() == list(range(6))


def test_only_the_rows_that_were_asked_for() -> None:
    labels = torch.cat([labels for _, labels in Batches(replace(RECIPE, rows=6), SPLIT).epoch(0)])
    assert sorted(labels.tolist()) == list(range(6))


def test_ids_stay_whole_numbers_and_are_cut_where_the_longest_row_ends() -> None:
    ids = np.tril(np.arange(1, 13)).astype(np.int64)[:10]  # row i has i + 1 ids, then padding
    recipe = replace(RECIPE, network="char_cnn", input_shape=(12,))
    split = Split(ids, np.arange(10))
    for trim in (False, True):
        for rows, labels in Batches(replace(recipe, trim=trim), split).epoch(0):
            longest = int(labels.max()) + 1 if trim else 12
            assert rows.dtype == torch.int64
            assert np.array_equal(rows, ids[labels.numpy(), :longest])


def test_pictures_that_are_read_when_needed_are_augmented_by_whoever_reads_them() -> None:
    class Pictures:
        def augmented(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            return PICTURES[rows] // 2

    split = Split(Pictures(), np.arange(10))
    for rows, labels in Batches(RECIPE, split).epoch(0):
        torch.testing.assert_close(rows, torch.from_numpy(PICTURES[labels.numpy()] // 2).float() / 255)
