from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.benchmark.studies import (
    BENCHMARKS,
    CIFAR_10,
    FASHION_MNIST,
    IMAGENET,
    RECIPES,
    SEARCH,
    SINUSOIDS,
    Entry,
    Study,
)
from models.benchmark.studies import study as study_module
from models.benchmark.studies.sinusoids import point_label, point_name
from models.cli import benchmark as command
from models.data import load
from models.layers import count, layers
from models.training.recipe import DEFAULTS, Recipe

STUDIES = {study.name: study for studies in BENCHMARKS.values() for study in studies}


def recipe_of(study: Study, method: str, **settings: object) -> Recipe:
    entry = next(
        entry
        for entry in study.compared
        if entry.method == method and all(getattr(entry, name) == value for name, value in settings.items())
    )
    (recipe,) = study.recipes(entry, entry.seeds[0])
    return recipe


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_training_is_there_once(study: Study) -> None:
    trainings = study.trainings()
    recipes = [recipe for _, recipe in trainings.values()]
    assert len({str(recipe.plain()) for recipe in recipes}) == len(recipes)
    needed = {
        study.training_name(entry, recipe)
        for entry in study.compared
        for seed in entry.seeds
        for recipe in study.recipes(entry, seed)
    }
    assert trainings.keys() == needed
    assert len({entry.name for entry in study.compared}) == len(study.compared)


def test_what_can_be_asked_for() -> None:
    assert list(command._STUDIES) == sorted(BENCHMARKS)
    assert list(STUDIES) == [
        "cifar-10",
        "fashion-mnist",
        "sinusoids",
        "fashion-mnist-search",
        "fashion-mnist-recipes",
        "imagenet",
        "scenes",
    ]


def test_the_path_from_a_single_network_to_an_ensemble() -> None:
    assert SINUSOIDS.quick() == SINUSOIDS
    assert [(point_name(entry), point_label(entry)) for entry in SINUSOIDS.compared] == [
        ("sinusoids-single", "single"),
        *((f"sinusoids-s{scale}", f"Masksembles, S = {scale}") for scale in ("1.1", "2", "3", "10")),
        ("sinusoids-deep-ensemble", "deep ensemble"),
    ]
    recipes = {entry.method: SINUSOIDS.recipes(entry, 0) for entry in SINUSOIDS.compared}
    assert [recipe.seed for recipe in recipes["deep-ensemble"]] == [0, 1, 2, 3]
    assert recipes["deep-ensemble"][:1] == recipes["single"]
    assert recipes["masksembles"][0].options == {"hidden": [100], "widen": True}


@pytest.mark.parametrize("study", [FASHION_MNIST, SEARCH, RECIPES], ids=lambda study: study.name)
def test_another_recipe_of_the_shipped_model_changes_no_study_of_its_data(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = study.trainings()
    monkeypatch.setitem(DEFAULTS, "fashion-mnist", {"network": "mlp", "epochs": 1, "options": {"hidden": [8]}})
    assert study.trainings() == before


def test_members_of_ensembles_are_the_single_networks() -> None:
    ensemble, single = Entry("deep-ensemble"), Entry("single")
    singles = [FASHION_MNIST.recipes(single, seed)[0] for seed in range(10)]
    members = [FASHION_MNIST.recipes(ensemble, seed) for seed in ensemble.seeds]
    assert members[0] == tuple(singles[:4])
    assert set(Counter(recipe.seed for ensemble in members for recipe in ensemble).values()) == {2}
    assert {recipe.seed for ensemble in members for recipe in ensemble} == set(range(10))
    assert all(len({recipe.seed for recipe in ensemble}) == 4 for ensemble in members)
    assert all(recipe == singles[recipe.seed] for ensemble in members for recipe in ensemble)
    assert FASHION_MNIST.trainings().keys() >= {f"all-single-{seed}" for seed in range(10)}


def test_networks_are_taught_by_the_ensemble_with_their_seed() -> None:
    trainings = RECIPES.trainings()
    taught = {name: run for name, run in trainings.items() if run[1].teachers}
    for name, (entry, recipe) in taught.items():
        teachers = RECIPES.teachers(entry, recipe)
        (ensemble,) = (one for one in RECIPES.compared if one.kind.several and one.held_out == entry.held_out)
        members = RECIPES.recipes(ensemble, recipe.seed)
        assert [trainings[teacher][1] for teacher in teachers] == list(members)
        assert len(members) == recipe.teachers == 4
        assert all(teacher.startswith(name[:4]) for teacher in teachers)  # none knows classes that it should not
    assert list(taught) == ["all-masksembles-s2-taught-0"]
    entry, recipe = trainings["all-single-0"]
    assert RECIPES.teachers(entry, recipe) == ()


def test_all_methods_have_the_same_schedule_and_augmentation() -> None:
    recipes = [recipe for entry, recipe in RECIPES.trainings().values() if entry.variant not in ("longer", "forty")]
    assert {(recipe.epochs, recipe.learning_rate, recipe.flip, recipe.crop, recipe.rows) for recipe in recipes} == {
        (20, 6e-3, True, 1, 10_000)
    }


def test_every_part_of_the_recipe_is_tried_without_the_others() -> None:
    kept, masked = recipe_of(RECIPES, "masksembles", variant="late"), RECIPES.settings["options"]["widths"]

    def differs(variant: str) -> dict[str, object]:
        tried = recipe_of(RECIPES, "masksembles", variant=variant).plain()
        return {name: value for name, value in tried.items() if value != kept.plain()[name]}

    assert differs("once") == {"repeat": False}
    assert differs("narrow") == {"options": {**kept.plain()["options"], "widths": masked}}
    assert differs("joint") == {"joint": 0.5}
    assert differs("longer") == {"epochs": 40}
    assert differs("taught") == {"teachers": 4}
    assert recipe_of(RECIPES, "single", variant="broad").options["widths"] == kept.options["widths"]


def test_a_search_has_the_same_settings_for_each_method() -> None:
    def without_network(entry: Entry) -> str:
        recipe = SEARCH.recipes(entry, 0)[0]
        return str([(name, getattr(recipe, name)) for name in ("epochs", "learning_rate", "flip", "crop", "rows")])

    by_method: dict[tuple[str, bool], list[str]] = {}
    for entry in SEARCH.compared:
        by_method.setdefault((entry.method, "late" in entry.variant), []).append(without_network(entry))
    assert len(by_method) == 5
    assert len({tuple(settings) for settings in by_method.values()}) == 1
    assert len(set(by_method["single", False])) == 4


def test_a_search_is_measured_on_rows_that_no_recipe_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load("digits")
    monkeypatch.setattr(study_module, "_load", lambda *_: digits)
    found = replace(SEARCH, settings={"rows": 100}).load(None)
    assert np.array_equal(found.test.inputs, digits.train.inputs[100:200])
    assert np.array_equal(found.test.labels, digits.train.labels[100:200])
    assert found.train is digits.train


def test_those_that_never_saw_some_classes_have_networks_of_their_own() -> None:
    near = [name for name in FASHION_MNIST.trainings() if name.startswith("near-single-")]
    assert sorted(near) == [f"near-single-{seed}" for seed in range(5)]
    assert recipe_of(FASHION_MNIST, "single", held_out=True).classes == 8
    assert recipe_of(FASHION_MNIST, "single").classes == 10


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        (
            "fashion-mnist",
            ["single", "MC-dropout", "Masksembles S = 2, fixed width", "Masksembles S = 2, fixed capacity"],
        ),
        (
            "cifar-10",
            ["single", "MC-dropout", "Masksembles S = 2, fixed width", "Masksembles S = 1.5, half as wide again"],
        ),
        ("imagenet", ["single", "MC-dropout", "Masksembles S = 2.17, fixed width"]),
    ],
)
def test_quick_has_one_seed_and_a_point_of_each_variant(name: str, labels: list[str]) -> None:
    quick = STUDIES[name].quick()
    assert [entry.label for entry in quick.compared] == [*labels, "deep ensemble"]
    assert {entry.seeds for entry in quick.compared} == {(0,)}
    assert sorted(training for training in quick.trainings() if "single" in training) == [
        f"all-single-{seed}" for seed in range(4)
    ]
    whole = STUDIES[name].trainings()
    assert all(whole[training][1] == recipe for training, (_, recipe) in quick.trainings().items())


def test_cifar_10_has_the_settings_of_the_paper() -> None:
    recipe = recipe_of(CIFAR_10, "masksembles", scale=2.0)
    assert recipe.submodels == 4
    assert (recipe.optimiser, recipe.learning_rate, recipe.weight_decay) == ("sgd", 0.1, 5e-4)
    assert (recipe.epochs, recipe.batch_size, recipe.milestones, recipe.decay) == (200, 128, (60, 120, 160), 0.2)
    assert (recipe.flip, recipe.crop, recipe.rows) == (True, 4, None)
    network = recipe.build()
    assert count(network) == 4
    assert [(module.in_channels, module.out_channels) for module in network.modules() if _is_3x3(module)] == [
        (3, 16), (16, 64), *[(64, 64)] * 3, (64, 128), *[(128, 128)] * 3, (128, 256), *[(256, 256)] * 3,
    ]  # fmt: skip
    wide = recipe_of(CIFAR_10, "masksembles", variant="wide").build()
    assert _weights(wide) / _weights(network) == pytest.approx(2.25, abs=0.05)
    assert recipe_of(CIFAR_10, "mc-dropout").dropout == 0.1


def test_imagenet_has_the_settings_of_the_paper() -> None:
    recipe = recipe_of(IMAGENET, "masksembles")
    assert (recipe.optimiser, recipe.learning_rate, recipe.weight_decay) == ("sgd", 0.1, 1e-4)
    assert (recipe.epochs, recipe.batch_size, recipe.milestones, recipe.decay) == (90, 256, (30, 60, 80), 0.1)
    network = recipe.build()
    assert (recipe.classes, recipe.submodels) == (1000, 4)
    assert _weights(network) == 25_557_032  # ResNet-50
    scales = sorted(entry.scale for entry in IMAGENET.compared if entry.method == "masksembles")
    overlaps = [_overlap(replace(recipe, scale=scale)) for scale in scales]
    assert overlaps == pytest.approx([0.7, 0.3, 0.2], abs=0.05)


def _overlap(recipe: Recipe) -> float:
    """Mean intersection over union of the masks before the last layer."""
    masks = list(layers(recipe.build()).values())[-1].masks.bool().reshape(4, -1)
    first, second = torch.triu_indices(4, 4, 1)
    both, either = (masks[first] & masks[second]).sum(1), (masks[first] | masks[second]).sum(1)
    return float((both / either).mean())


def _is_3x3(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3)


def _weights(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
