"""The kinds of methods: one file each says how a method gets its submodels. A new method is registered here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.contract.schema import Method
from models.training.methods.deep_ensemble import DeepEnsembleMethod
from models.training.methods.masksembles import MasksemblesMethod
from models.training.methods.mc_dropout import McDropoutMethod
from models.training.methods.method import TrainingMethod
from models.training.methods.single import SingleMethod

if TYPE_CHECKING:
    from models.training.recipe import Recipe

__all__ = ["METHODS", "REFERENCE", "TrainingMethod", "method_of"]

METHODS: dict[Method, TrainingMethod] = {
    "single": SingleMethod(),
    "mc-dropout": McDropoutMethod(),
    "masksembles": MasksemblesMethod(),
    "deep-ensemble": DeepEnsembleMethod(),
}

REFERENCE: Method = "single"
"""The method that all costs are relative to."""


def method_of(recipes: "Sequence[Recipe]") -> Method:
    """The method of a model made by these training runs."""
    return recipes[0].method if len(recipes) == 1 else "deep-ensemble"
