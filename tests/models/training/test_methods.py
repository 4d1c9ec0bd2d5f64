"""What each method trains, and what makes one model of it."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from app.contract.schema import Method
from models.training.methods import METHODS, method_of
from models.training.recipe import Recipe

RECIPE = Recipe(data="x", network="mlp", input_shape=(3,), classes=2, method="single", submodels=3, seed=2)


def test_every_method_of_the_contract_is_there() -> None:
    assert list(METHODS) == list(get_args(Method))
    assert len({kind.label for kind in METHODS.values()}) == len(METHODS)
    assert [method for method, kind in METHODS.items() if kind.several] == ["deep-ensemble"]


@pytest.mark.parametrize("method", ["single", "mc-dropout", "masksembles"])
def test_one_training_makes_a_model(method: Method) -> None:
    kind = METHODS[method]
    recipe = replace(RECIPE, method=kind.trains)
    assert kind.trains == method == method_of([recipe])
    assert kind.members(recipe) == (recipe,)
    assert kind.checkpoints(Path("a/x.pt"), 3) == [Path("a/x.pt")]
    kind.check_submodels(1)
    assert kind.export_options(recipe) == ({"mc_dropout": 3} if method == "mc-dropout" else {})


def test_an_ensemble_is_several_single_networks_of_different_seeds() -> None:
    kind = METHODS["deep-ensemble"]
    members = kind.members(RECIPE)
    assert [member.seed for member in members] == [6, 7, 8]
    assert all(replace(member, seed=2) == RECIPE for member in members)
    assert method_of(members) == "deep-ensemble"
    assert kind.checkpoints(Path("a/x.pt"), 3) == [Path("a/x-1.pt"), Path("a/x-2.pt"), Path("a/x-3.pt")]
    with pytest.raises(ValueError, match="deep ensemble: expected at least 2, got 1"):
        kind.check_submodels(1)
    kind.check_members(members, "abc")
    with pytest.raises(ValueError, match="c: the networks of a deep ensemble differ in the seed, got 6 again"):
        kind.check_members([*members[:2], members[0]], "abc")
    with pytest.raises(
        ValueError, match="b: the networks of a deep ensemble differ in the seed alone, got another epochs"
    ):
        kind.check_members([members[0], replace(members[1], epochs=1)], "ab")
    with pytest.raises(
        ValueError, match="b: a deep ensemble is made of networks of the method single, got masksembles"
    ):
        kind.check_members([members[0], replace(members[1], method="masksembles")], "ab")
