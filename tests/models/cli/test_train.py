"""`train`: what it takes and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.__main__ import main
from models.cli import train as command
from models.data import Dataset, DatasetError, Split
from models.training import trainer as training
from models.training.recipe import Recipe
from tests.models.cli.member import MEMBER, train


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("digits --network resnet --widen", "resnet has no option widen; it has depth, first_stage, placement"),
        ("digits --network wide_resnet --widen", "wide_resnet has no option widen; it has depth, placement, wid"),
        ("sinusoids --network resnet", "resnet takes images [channels, height, width], not [2]"),
        ("diabetes --network cnn", "cnn takes images [channels, height, width], not [10]"),
        ("diabetes --network wide_resnet", "wide_resnet takes images [channels, height, width], not [10]"),
        ("digits --method deep-ensemble --submodels 1", "submodels: deep ensemble: expected at least 2, got 1"),
    ],
)
def test_a_network_that_cannot_be_built_is_named(
    arguments: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments.split()]) == 1
    assert message in capsys.readouterr().err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--dropout 1", "0 or more and below 1, got '1'"),
        ("--dropout -0.1", "0 or more and below 1, got '-0.1'"),
        ("--dropout nan", "0 or more and below 1, got 'nan'"),
        ("--dropout 0.1,0.2", "0 or more and below 1"),
        ("--seed -1", "a whole number, 0 to 4294967295, got '-1'"),
        (f"--seed {2**63}", "a whole number, 0 to 4294967295"),
    ],
)
def test_numbers_that_no_training_takes(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "digits", *(f"{arguments.replace(' ', '=')}".split())])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dataset", "arguments", "shape", "options", "align", "repeat"),
    [
        ("cifar-10", "", (3, 32, 32), {}, None, False),
        ("cifar-10", "--network cnn --widen", (3, 32, 32), {"widen": True}, 16, False),
        ("imagenet", "--network cnn", (3, 32, 32), {}, 16, False),
        ("imagenet", "--network resnet", (3, 32, 32), {"depth": 50}, None, False),
        ("diabetes", "--widen", (10,), {"hidden": [64, 64], "widen": True}, 16, False),
        ("diabetes", "--network mlp --align 4", (10,), {"hidden": [64, 64]}, 4, False),
        ("fashion-mnist", "--widen", (1, 28, 28), {"first_mask": 1, "widen": True}, 16, True),
        ("fashion-mnist", "--network resnet", (1, 28, 28), {}, 16, False),
        ("fashion-mnist", "--network resnet --repeat", (1, 28, 28), {}, 16, True),
    ],
)
def test_what_suits_the_default_network_is_not_asked_of_another(
    dataset: str,
    arguments: str,
    shape: tuple[int, ...],
    options: object,
    align: int,
    repeat: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = Split(np.zeros((2, *shape), np.float32), np.zeros(2, np.int64))
    found = Dataset(dataset, ("a", "b"), split, split, split, None, "", "")
    recipes: list[Recipe] = []
    monkeypatch.setattr(command, "load", lambda name, folder: found)
    monkeypatch.setattr(training, "train", lambda recipe, *_, **__: recipes.append(recipe))
    assert main(["train", dataset, *arguments.split()]) == 0
    (recipe,) = recipes
    assert (recipe.options, recipe.align, recipe.repeat) == (options, align, repeat)
    recipe.build()


def test_submodels_learn_from_checkpoints(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load", lambda name, folder: digits)
    train(MEMBER, digits, tmp_path / "teacher.pt")
    learn = ["train", "digits", "--epochs", "1", "--checkpoint", str(tmp_path / "a.pt"), "--repeat", "--teachers"]
    assert main([*learn, str(tmp_path / "teacher.pt")]) == 0
    recipe, _ = training.load(tmp_path / "a.pt")
    assert (recipe.repeat, recipe.repeats, recipe.teachers) == (True, 4, 1)
    assert main([*learn, str(tmp_path / "none.pt")]) == 1
    assert "none.pt: no such checkpoint" in capsys.readouterr().err


def test_wide_resnet_has_no_capacity(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    split = Split(np.zeros((2, 3, 32, 32), np.uint8), np.zeros(2, np.int64))
    found = Dataset("cifar-10", ("a", "b"), split, split, split, None, "", "")
    monkeypatch.setattr(command, "load", lambda name, folder: found)
    assert main(["train", "cifar-10", "--widen"]) == 1
    assert "wide_resnet has no option widen" in capsys.readouterr().err


def test_a_split_without_rows_is_not_trained_on(digits: Dataset, tmp_path: Path) -> None:
    empty = Split(digits.train.inputs[:0], digits.train.labels[:0])
    with pytest.raises(DatasetError, match="digits: the training split has no rows"):
        train(MEMBER, replace(digits, train=empty), tmp_path / "a.pt")
