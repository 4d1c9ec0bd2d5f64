from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.data import Dataset, Split
from models.data import load as load_data
from models.layers import digest, submodels
from models.networks.gaussian import Gaussian
from models.training import trainer
from models.training.batches import Batches
from models.training.recipe import DEFAULTS, Recipe
from models.training.repetition import repeated
from models.training.trainer import CheckpointError, load, train
from tests.models import word_lists

RECIPE = Recipe(data="digits", network="mlp", input_shape=(1, 8, 8), classes=10, epochs=3, batch_size=200, flip=True)


CELLS = Recipe(
    data="cells", network="unet", input_shape=(1, 16, 16), classes=3, options={"channels": 8, "depth": 1}, align=None,
    epochs=3, batch_size=8, flip=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> Dataset:
    """40 pictures of noise with a dark and a bright square, whose cells are the second and the third class."""
    rng = np.random.default_rng(0)
    inputs = rng.integers(100, 156, (40, 1, 16, 16), dtype=np.uint8)
    labels = np.zeros((40, 16, 16), np.int64)
    for picture, label, (dark, bright) in zip(inputs, labels, rng.integers(0, 12, (40, 2, 2))):
        for kind, (y, x), grey in ((1, dark, 40), (2, bright, 215)):
            picture[0, y : y + 4, x : x + 4], label[y : y + 4, x : x + 4] = grey, kind
    split = Split(inputs, labels)
    return Dataset("cells", ("rest", "dark", "bright"), split, split, split, (0, 255), "grey value", "BCHW")


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", ["digits", "cells"])
def test_an_interrupted_training_ends_with_the_same_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    recipe, dataset = {"digits": RECIPE, "cells": CELLS}[name], request.getfixturevalue(name)
    undisturbed = train(recipe, dataset, tmp_path / "a.pt", progress=False)

    save, saved = torch.save, list[object]()

    def save_once(*arguments: Any) -> None:
        if saved:
            raise Interrupted
        saved.append(save(*arguments))

    monkeypatch.setattr(torch, "save", save_once)
    with pytest.raises(Interrupted):
        train(recipe, dataset, tmp_path / "b.pt", progress=False)
    with pytest.raises(CheckpointError, match="stopped after 1 of 3 epochs"):
        load(tmp_path / "b.pt")
    monkeypatch.undo()
    resumed = train(recipe, dataset, tmp_path / "b.pt", progress=False)
    for (name, one), other in zip(undisturbed.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(one, other), name


def test_a_network_of_words_learns_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word_lists.write(tmp_path)
    words = load_data("languages", tmp_path)
    recipe = Recipe(data="languages", input_shape=(32,), classes=8, **{**DEFAULTS["languages"], "epochs": 4})
    undisturbed = train(recipe, words, tmp_path / "a.pt", progress=False)
    right = submodels(undisturbed, torch.from_numpy(words.test.inputs)).softmax(-1).mean(0).argmax(-1).numpy()
    assert (right == words.test.labels).mean() > 0.6

    write, epochs = trainer._write, list[int]()

    def interrupted(path: Path, state: dict[str, Any]) -> None:
        write(path, state)
        epochs.append(state["epochs_done"])
        if epochs == [1, 2]:
            raise Interrupted

    monkeypatch.setattr(trainer, "_write", interrupted)
    with pytest.raises(Interrupted):
        train(recipe, words, tmp_path / "b.pt", progress=False)
    resumed = train(recipe, words, tmp_path / "b.pt", progress=False)
    assert epochs == [1, 2, 3, 4]
    for (name, one), other in zip(undisturbed.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(one, other), name


def test_load_gives_the_network_that_was_trained(digits: Dataset, tmp_path: Path) -> None:
    trained = train(RECIPE, digits, tmp_path / "a.pt", progress=False)
    recipe, loaded = load(tmp_path / "a.pt")
    assert recipe == RECIPE
    assert digest(loaded) == digest(trained)
    x = torch.from_numpy(digits.test.inputs)
    assert torch.equal(submodels(loaded, x), submodels(trained, x))


def test_training_learns(digits: Dataset, digits_network: torch.nn.Module) -> None:
    mean = submodels(digits_network, torch.from_numpy(digits.test.inputs)).softmax(-1).mean(0)
    assert (mean.argmax(-1).numpy() == digits.test.labels).mean() > 0.9


def test_training_learns_the_class_of_every_cell(cells: Dataset, tmp_path: Path) -> None:
    network = train(replace(CELLS, epochs=40, learning_rate=1e-2), cells, tmp_path / "a.pt", progress=False)
    mean = submodels(network, torch.from_numpy(cells.test.inputs) / 255).softmax(2).mean(0)
    found = mean.argmax(1).numpy()
    assert found.shape == cells.test.labels.shape
    for kind in range(3):
        assert (found == kind)[cells.test.labels == kind].mean() > 0.9


def test_another_recipe_is_refused(digits: Dataset, tmp_path: Path) -> None:
    train(RECIPE, digits, tmp_path / "a.pt", progress=False)
    other = Recipe(data="digits", network="mlp", input_shape=(1, 8, 8), classes=10, epochs=3, batch_size=200, seed=1)
    with pytest.raises(CheckpointError, match="flip True, asked for False, seed 0, asked for 1"):
        train(other, digits, tmp_path / "a.pt", progress=False)


def test_a_checkpoint_of_other_rows_is_refused(digits: Dataset, tmp_path: Path) -> None:
    train(RECIPE, digits, tmp_path / "a.pt", progress=False)
    other = replace(digits, train=Split(digits.train.inputs, digits.train.labels[::-1].copy()))
    with pytest.raises(CheckpointError, match=r"a\.pt was trained on other rows of digits: choose another"):
        train(RECIPE, other, tmp_path / "a.pt", progress=False)


@pytest.mark.parametrize("rows", [None, 7])
def test_a_regressor_is_scaled_by_the_rows_it_is_trained_on_alone(tmp_path: Path, rows: int | None) -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.normal(3, 2, (40, 3)).astype(np.float32), rng.normal(100, 30, (40, 2)).astype(np.float32))
    dataset = Dataset("x", (), split, split, split, None, "", "", (("a", ""), ("b", "")), "regression")
    recipe = Recipe(
        data="x", network="mlp", input_shape=(3,), classes=2, task="regression", rows=rows, epochs=1, batch_size=20
    )
    network = train(recipe, dataset, tmp_path / "a.pt", progress=False)
    assert isinstance(network, Gaussian)
    for found, values in ((network.input_mean, split.inputs), (network.mean, split.labels)):
        np.testing.assert_allclose(found, values[:rows].mean(axis=0), rtol=1e-5)
    for found, values in ((network.input_std, split.inputs), (network.std, split.labels)):
        np.testing.assert_allclose(found, values[:rows].std(axis=0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("content", [b"", b"something else", b"PK\x03\x04 and no more"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.pt: not a readable checkpoint"):
        load(tmp_path / "a.pt")


def test_a_checkpoint_in_another_format_is_named(tmp_path: Path) -> None:
    torch.save({"state": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of"):
        load(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load(tmp_path / "b.pt")


def test_a_checkpoint_of_an_older_format_is_named(tmp_path: Path) -> None:
    torch.save({"format": 1, "recipe": {"rate": 0.1}}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="of format 1, expected 2"):
        load(tmp_path / "a.pt")


def test_a_joint_loss_is_that_of_the_mean_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_data("digits")
    recipe = replace(RECIPE, network="cnn", align=None, repeat=True, joint=1.0, epochs=1, batch_size=64, rows=64)
    losses = list[Tensor]()
    backward: Any = Tensor.backward

    def noted(loss: Tensor) -> None:
        losses.append(loss.detach())
        backward(loss)

    monkeypatch.setattr(Tensor, "backward", noted)
    train(recipe, digits, tmp_path / "a.pt", progress=False)
    inputs, labels = next(iter(Batches(recipe, digits.train).epoch(0)))
    network = recipe.build().train()
    answers = repeated(network, inputs).softmax(1).unflatten(0, (4, -1)).mean(0)
    torch.testing.assert_close(losses[0], torch.nn.functional.nll_loss(answers.log(), labels))
