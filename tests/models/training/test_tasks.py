from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.data import Dataset, Split
from models.networks.gaussian import Gaussian
from models.training.batches import Batches
from models.training.recipe import Recipe
from models.training.tasks import TASKS

SPLIT = Split(np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10, dtype=np.float32)[:, None])
NUMBERS = Dataset(
    name="n", classes=(), train=SPLIT, calibration=SPLIT, test=SPLIT, value_range=None, unit="x", layout="",
    targets=(("price", "euro"),), task="regression",
)  # fmt: skip
CLASSES = replace(NUMBERS, classes=("a", "b", "c"), targets=(), task="classification")
RECIPE = Recipe(data="n", network="mlp", input_shape=(2,), classes=1, task="regression", epochs=1, batch_size=4)


def test_a_class_takes_one_number_and_a_target_two() -> None:
    classes, numbers = TASKS["classification"], TASKS["regression"]
    assert classes.outputs(classes.answers(CLASSES)) == 3
    assert numbers.outputs(numbers.answers(NUMBERS)) == 2


def test_the_compiler_is_told_of_labels_or_of_targets() -> None:
    assert TASKS["classification"].export_options(CLASSES) == {"labels": ("a", "b", "c")}
    assert TASKS["regression"].export_options(NUMBERS) == {"targets": (("price", "euro"),)}


LABELS = replace(CLASSES, task="multilabel")


def test_labels_take_a_number_each_and_say_that_they_are_labels() -> None:
    task = TASKS["multilabel"]
    assert task.outputs(task.answers(LABELS)) == 3
    assert task.export_options(LABELS) == {"labels": ("a", "b", "c"), "task": "multilabel"}


@pytest.mark.parametrize(("labels", "loss"), [([True, False], 0.0), ([False, False], 50.0), ([False, True], 100.0)])
def test_the_loss_of_labels_is_their_mean_in_nats(labels: list[bool], loss: float) -> None:
    found = TASKS["multilabel"].loss(nn.Identity(), torch.tensor([[100.0, -100.0]]), torch.tensor([labels]))
    assert found.item() == pytest.approx(loss, abs=1e-6)


def test_only_a_regressor_is_scaled_and_by_its_own_rows() -> None:
    network = nn.Linear(2, 2)
    assert TASKS["classification"].complete(network, RECIPE) is network
    scaled = TASKS["regression"].complete(network, RECIPE)
    assert isinstance(scaled, Gaussian)
    TASKS["regression"].fit_scaling(scaled, Batches(RECIPE, SPLIT))
    torch.testing.assert_close(scaled.input_mean, torch.tensor([9.0, 10.0]))
    torch.testing.assert_close(scaled.mean, torch.tensor([4.5]))


@pytest.mark.parametrize(
    ("logits", "loss"), [([[0.0, 0.0]], 0.6931472), ([[100.0, 0.0]], 0.0), ([[0.0, 100.0]], 100.0)]
)
def test_the_loss_of_classes_is_in_nats(logits: list[list[float]], loss: float) -> None:
    found = TASKS["classification"].loss(nn.Identity(), torch.tensor(logits), torch.tensor([0]))
    assert found.item() == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("grid", [(2,), (3, 2), (2, 1, 4)])
def test_the_loss_of_cells_is_their_mean(grid: tuple[int, ...]) -> None:
    logits = torch.randn(4, 3, *grid, dtype=torch.float64)
    labels = torch.randint(3, (4, *grid))
    each = [
        -logits[row][(slice(None), *cell)].log_softmax(0)[labels[row][cell]]
        for row in range(4)
        for cell in map(tuple, torch.ones(grid).nonzero().tolist())
    ]
    found = TASKS["classification"].loss(nn.Identity(), logits, labels)
    torch.testing.assert_close(found, torch.stack(each).mean())


@pytest.mark.parametrize(
    ("answers", "labels", "message"),
    [
        ((2, 3), (2, 4, 4), "answers for rows, the labels are those of 4×4 cells"),
        ((2, 3, 4, 4), (2,), "answers for 4×4 cells, the labels are those of rows"),
        ((2, 3, 4, 4), (2, 4, 2), "answers for 4×4 cells, the labels are those of 4×2 cells"),
    ],
)
def test_answers_for_another_grid_than_the_labels_are_refused(
    answers: tuple[int, ...], labels: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TASKS["classification"].loss(nn.Identity(), torch.zeros(answers), torch.zeros(labels, dtype=torch.int64))
