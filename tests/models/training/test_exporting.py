from dataclasses import replace

import numpy as np
import pytest

from app.contract.axis import FreeAxis
from models.data import Dataset, Split
from models.export import ExportOptions
from models.training.exporting import export_options
from models.training.methods.method import Trainable
from models.training.recipe import Recipe


def split(first: float) -> Split:
    """Five rows of two features, from a number up."""
    return Split(np.arange(10, dtype=np.float32).reshape(5, 2) + np.float32(first), np.zeros(5, np.int64))


POINTS = Dataset(
    name="points", classes=("a", "b"), train=split(0), calibration=split(100), test=split(200),
    value_range=(0.0, 300.0), unit="metre", layout="",
)  # fmt: skip
RECIPE = Recipe(data="points", network="mlp", input_shape=(2,), classes=2, submodels=3, seed=4)
PLAIN = ExportOptions(labels=("a", "b"), data="points", value_range=(0.0, 300.0), unit="metre", recipe=RECIPE.plain())


def without_rows(options: ExportOptions) -> ExportOptions:
    return replace(options, calibration=None, evaluation=None)


def test_one_training_gives_all_that_the_data_and_the_recipe_know_and_no_more() -> None:
    example, options = export_options([RECIPE], POINTS)
    np.testing.assert_array_equal(example, [[100, 101], [102, 103]])
    assert options.calibration is POINTS.calibration
    assert options.evaluation is POINTS.test
    assert without_rows(options) == PLAIN


def test_images_bring_their_axes_colours_and_normalisation() -> None:
    pixels = Split(np.zeros((5, 3, 2, 2), np.float32), np.zeros(5, np.int64))
    images = replace(POINTS, train=pixels, calibration=pixels, test=pixels, layout="BCHW")
    recipe = replace(RECIPE, input_shape=(3, 2, 2), normalise=((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)))
    example, options = export_options([recipe], images)
    assert tuple(example.shape) == (2, 3, 2, 2)
    assert (options.layout, options.colour, options.normalise) == ("BCHW", "rgb", recipe.normalise)


def test_axes_of_free_size_are_passed_on() -> None:
    axes = {"W": FreeAxis(least=8, most=64, multiple_of=8)}
    options = export_options([RECIPE], replace(POINTS, input_shape=("W",), axes=axes))[1]
    assert without_rows(options) == replace(PLAIN, input_shape=("W",), axes=axes)


def test_names_of_features_and_symbols_are_passed_on() -> None:
    named = export_options([RECIPE], replace(POINTS, features=("x", "y")))[1]
    assert without_rows(named) == replace(PLAIN, features=("x", "y"))
    spelled = export_options([RECIPE], replace(POINTS, symbols=("", "a")))[1]
    assert without_rows(spelled) == replace(PLAIN, symbols=("", "a"))


def test_a_regressor_has_targets_and_no_labels() -> None:
    numbers = replace(POINTS, classes=(), targets=(("price", "euro"),), task="regression")
    options = export_options([replace(RECIPE, classes=1, task="regression")], numbers)[1]
    assert (options.labels, options.targets) == (None, (("price", "euro"),))


@pytest.mark.parametrize(("method", "frozen"), [("single", None), ("masksembles", None), ("mc-dropout", 3)])
def test_dropout_alone_is_frozen_into_submodels(method: Trainable, frozen: int | None) -> None:
    recipe = replace(RECIPE, method=method)
    options = export_options([recipe], POINTS)[1]
    assert without_rows(options) == replace(PLAIN, mc_dropout=frozen, recipe=recipe.plain())


def test_the_members_of_a_deep_ensemble_leave_their_seeds() -> None:
    members = [replace(RECIPE, method="single", seed=seed) for seed in (7, 5)]
    options = export_options(members, POINTS)[1]
    assert without_rows(options) == replace(PLAIN, recipe={**members[0].plain(), "seeds": [7, 5]})
