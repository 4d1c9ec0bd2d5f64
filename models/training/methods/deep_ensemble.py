"""A deep ensemble (Lakshminarayanan et al. 2017, arXiv 1612.01474): N single networks that differ in their seed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.training.methods.single import SingleMethod

if TYPE_CHECKING:
    from models.training.recipe import Recipe


class DeepEnsembleMethod(SingleMethod):
    """Several training runs, each of a single network."""

    label = "deep ensemble"
    several = True
    least_submodels = 2
    line = "--"

    def members(self, recipe: "Recipe") -> "tuple[Recipe, ...]":
        """One recipe for each submodel; ensembles with different seeds share none."""
        seeds = (recipe.seed * recipe.submodels + index for index in range(recipe.submodels))
        return tuple(replace(recipe, seed=seed) for seed in seeds)

    def checkpoints(self, path: Path, submodels: int) -> list[Path]:
        """NAME-1.pt, NAME-2.pt, …"""
        return [path.with_stem(f"{path.stem}-{number}") for number in range(1, submodels + 1)]

    def check_members(self, recipes: "Sequence[Recipe]", names: Sequence[object]) -> None:
        """Checks that they are single networks that differ in the seed and nothing else."""
        first, seeds = recipes[0], set[int]()
        for recipe, name in zip(recipes, names):
            if recipe.method != self.trains:
                raise ValueError(
                    f"{name}: a deep ensemble is made of networks of the method {self.trains}, got {recipe.method}"
                )
            if replace(recipe, seed=first.seed) != first:
                others, ours = recipe.plain(), first.plain()
                differ = ", ".join(key for key in ours if key != "seed" and others[key] != ours[key])
                raise ValueError(
                    f"{name}: the networks of a deep ensemble differ in the seed alone, got another {differ}"
                )
            if recipe.seed in seeds:
                raise ValueError(f"{name}: the networks of a deep ensemble differ in the seed, got {recipe.seed} again")
            seeds.add(recipe.seed)
