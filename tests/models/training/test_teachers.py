from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.data import Dataset
from models.layers import submodels
from models.training.methods.method import Trainable
from models.training.recipe import Recipe
from models.training.teachers import Teachers
from models.training.trainer import CheckpointError, train

CPU = torch.device("cpu")
RECIPE = Recipe(data="digits", network="mlp", input_shape=(1, 8, 8), classes=10, epochs=2, batch_size=200)
ROWS, LABELS = torch.rand(3, 1, 8, 8), torch.tensor([1, 0, 2])


def built(seed: int, method: Trainable = "single") -> nn.Module:
    return replace(RECIPE, seed=seed, method=method).build()


def answers(network: nn.Module) -> torch.Tensor:
    return submodels(network.eval(), ROWS).softmax(2).mean(0)


def test_without_teachers_targets_are_the_labels() -> None:
    assert torch.equal(Teachers(RECIPE, [], CPU).targets(ROWS, LABELS), LABELS)
    repeats = replace(RECIPE, repeat=True, submodels=2)
    assert torch.equal(Teachers(repeats, [], CPU).targets(ROWS, LABELS), torch.tensor([1, 0, 2, 1, 0, 2]))


@pytest.mark.parametrize("rows", [1, 3])
def test_each_row_is_answered_by_one_teacher(rows: int) -> None:
    networks = [built(0), built(1, "masksembles")]
    taught = Teachers(replace(RECIPE, teachers=2), networks, CPU)
    found = taught.targets(ROWS[:rows], LABELS[:rows])
    one, two = (answers(network) for network in networks)
    torch.testing.assert_close(found, torch.stack([one[0], two[1], one[2]])[:rows])
    torch.testing.assert_close(found.sum(1), torch.ones(rows))
    repeats = Teachers(replace(RECIPE, teachers=2, repeat=True, submodels=3), networks, CPU)
    torch.testing.assert_close(repeats.targets(ROWS[:rows], LABELS[:rows]), found.repeat(3, 1))


def test_a_network_learns_what_its_teachers_answer(digits: Dataset, digits_network: nn.Module, tmp_path: Path) -> None:
    recipe = replace(RECIPE, teachers=1, repeat=True, epochs=20)
    # labels without a meaning: what it learns, it learns from its teacher
    blind = replace(digits, train=replace(digits.train, labels=digits.train.labels * 0))
    taught = train(recipe, blind, tmp_path / "a.pt", teachers=[digits_network], progress=False)
    mean = submodels(taught, torch.from_numpy(digits.test.inputs)).softmax(-1).mean(0)
    assert (mean.argmax(-1).numpy() == digits.test.labels).mean() > 0.8


def test_other_teachers_are_refused(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="teachers: the recipe expects 1, got 0"):
        train(replace(RECIPE, teachers=1), digits, tmp_path / "a.pt", progress=False)
    with pytest.raises(ValueError, match="teachers: expected a classification, got a regression"):
        Teachers(replace(RECIPE, teachers=1, task="regression"), [built(0)], CPU)
    train(replace(RECIPE, teachers=1), digits, tmp_path / "a.pt", teachers=[built(0)], progress=False)
    with pytest.raises(CheckpointError, match="had other teachers"):
        train(replace(RECIPE, teachers=1), digits, tmp_path / "a.pt", teachers=[built(1)], progress=False)
