"""Answers of a regressor: means, variances and intervals of D targets."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.api.predict.menu import Menu
from app.api.predict.tasks.task import Arrays, JsonRows, OutputSelection, TaskAnswers, put
from app.contract.calibration import Calibration, Interval
from app.contract.schema import Contract
from app.contract.tasks.regression import SCORES
from app.engine.model import Model
from app.errors import OutputNotFinite

_MEAN = ("prediction",)
_SPREAD = ("prediction", "variance")
_MENU = Menu(
    {
        "prediction": _MEAN,
        "variance": ("variance",),
        "epistemic_variance": ("epistemic_variance",),
        "aleatoric_variance": ("aleatoric_variance",),
        "entropy": ("entropy",),
        "expected_entropy": ("expected_entropy",),
        "mutual_information": ("mutual_information",),
        "intervals": _SPREAD,
        "percentiles": SCORES,
        "decision": SCORES,
        "submodels": ("submodels", "submodel_variances"),
    }
)
# For submodels that predict no variance: there are no scores, so percentiles and decision are null. Both still need an
# output of the graph, from which the number of rows follows.
_MENU_WITHOUT_SCORES = Menu(
    {
        "prediction": _MEAN,
        "variance": ("variance",),
        "epistemic_variance": ("epistemic_variance",),
        "intervals": _SPREAD,
        "percentiles": _MEAN,
        "decision": _MEAN,
        "submodels": ("submodels",),
    }
)


def bounds(model: Model, one: Interval, found: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lower and upper ends [B, D] of an interval around each prediction.

    Raises:
        OutputNotFinite: a variance is negative or too large for an interval.
    """
    with np.errstate(all="ignore"):  # the check below says more than a warning in the log
        reach = np.array(one.factors, np.float32) * np.sqrt(found["variance"])
        lower, upper = found["prediction"] - reach, found["prediction"] + reach
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise OutputNotFinite(f"{model.name}:{model.version} gave a variance that makes no interval")
    return lower, upper


def _json_submodels(rows: JsonRows, _: Model, __: OutputSelection, found: Arrays) -> None:
    names = {"prediction": "submodels", "variance": "submodel_variances"}
    there = {name: found[output] for name, output in names.items() if output in found}
    for row, values in zip(rows, zip(*there.values())):
        row["submodels"] = [dict(zip(there, numbers)) for numbers in zip(*values)]


def _json_intervals(rows: JsonRows, model: Model, selection: OutputSelection, found: Arrays) -> None:
    if not selection.regions:
        put(rows, "intervals", None)
        return
    columns = [(one.coverage, *bounds(model, one, found)) for one in selection.regions]
    for at, row in enumerate(rows):
        row["intervals"] = [
            {"coverage": coverage, "lower": lower[at], "upper": upper[at]} for coverage, lower, upper in columns
        ]


def _npz_submodels(_: Model, __: OutputSelection, found: Arrays) -> Arrays:
    return {name: found[name] for name in ("submodels", "submodel_variances") if name in found}


def _npz_intervals(model: Model, selection: OutputSelection, found: Arrays) -> Arrays:
    if not selection.regions:
        return {}
    ends = [np.stack(bounds(model, one, found), axis=1) for one in selection.regions]
    coverages = np.array([one.coverage for one in selection.regions])
    return {"intervals": np.stack(ends, axis=1), "intervals.coverage": coverages}


class RegressionAnswers(TaskAnswers):
    """Two menus, with and without a predicted variance; a response holds every interval."""

    menus = (_MENU, _MENU_WITHOUT_SCORES)
    json: ClassVar = {"submodels": _json_submodels, "intervals": _json_intervals}
    npz: ClassVar = {"submodels": _npz_submodels, "intervals": _npz_intervals}

    def menu(self, contract: Contract) -> Menu:
        """Depends on whether the model has scores."""
        return _MENU if contract.scores else _MENU_WITHOUT_SCORES

    def regions(self, calibration: Calibration) -> tuple[Interval, ...]:
        """Intervals."""
        return calibration.intervals

    def default_regions(self, calibration: Calibration) -> tuple[Interval, ...]:
        """All of them."""
        return calibration.intervals
