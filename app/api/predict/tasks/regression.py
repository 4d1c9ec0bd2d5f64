"""Answers of a regressor: means, variances and intervals of D targets."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.api.predict.menu import Menu
from app.api.predict.tasks.task import (
    JsonRows,
    JsonWriter,
    OutputSelection,
    TaskAnswers,
    npz_row_scores,
    put,
    row_scores,
)
from app.contract.calibration import Calibration, Interval
from app.contract.head import Head
from app.contract.tasks.regression import SCORES
from app.contract.tasks.task import Arrays, row_output
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
        "receipt": (*_SPREAD, *SCORES),
    },
    on_request=("receipt",),
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
        "receipt": _SPREAD,
    },
    on_request=("receipt",),
)
_ROW = (row_output("prediction"),)
_ROW_SCORES = tuple(map(row_output, SCORES))
_OF_ROWS = {"row_prediction": _ROW, "row_submodels": (row_output("submodels"),)}
_MAPS_WITHOUT_SCORES = ("prediction", "variance", "epistemic_variance")
_MAPS = (*_MAPS_WITHOUT_SCORES, "aleatoric_variance", *SCORES)
_DENSE = Menu(
    {
        **_OF_ROWS,
        "row_scores": _ROW_SCORES,
        "percentiles": _ROW_SCORES,
        "decision": _ROW_SCORES,
        **{name: (name,) for name in _MAPS},
        "intervals": _SPREAD,
        "submodels": ("submodels", "submodel_variances"),
    },
    maps=(*_MAPS, "intervals", "submodels"),
)
_DENSE_WITHOUT_SCORES = Menu(
    {
        **_OF_ROWS,
        "percentiles": _ROW,
        "decision": _ROW,
        **{name: (name,) for name in _MAPS_WITHOUT_SCORES},
        "intervals": _SPREAD,
        "submodels": ("submodels",),
    },
    maps=(*_MAPS_WITHOUT_SCORES, "intervals", "submodels"),
)


def bounds(one: Interval, found: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lower and upper ends [B, D, G] of an interval around each prediction.

    Raises:
        OutputNotFinite: a variance is negative or too large for an interval.
    """
    with np.errstate(all="ignore"):  # the check below says more than a warning in the log
        factors = np.array(one.factors, np.float32).reshape(-1, *[1] * (found["variance"].ndim - 2))
        reach = factors * np.sqrt(found["variance"])
        lower, upper = found["prediction"] - reach, found["prediction"] + reach
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise OutputNotFinite("the model gave a variance that makes no interval")
    return lower, upper


def _json_submodels(rows: JsonRows, _: OutputSelection, found: Arrays) -> None:
    names = {"prediction": "submodels", "variance": "submodel_variances"}
    there = {name: found[output] for name, output in names.items() if output in found}
    for row, values in zip(rows, zip(*there.values())):
        row["submodels"] = [dict(zip(there, numbers)) for numbers in zip(*values)]


def _json_intervals(rows: JsonRows, selection: OutputSelection, found: Arrays) -> None:
    if not selection.regions:
        put(rows, "intervals", None)
        return
    columns = [(one.coverage, *bounds(one, found)) for one in selection.regions]
    for at, row in enumerate(rows):
        row["intervals"] = [
            {"coverage": coverage, "lower": lower[at], "upper": upper[at]} for coverage, lower, upper in columns
        ]


def _json_row(name: str) -> JsonWriter:
    def write(rows: JsonRows, _: OutputSelection, found: Arrays) -> None:
        put(rows, row_output(name), found[row_output(name)])

    return write


def _npz_submodels(_: OutputSelection, found: Arrays) -> dict[str, Any]:
    return {name: found[name] for name in ("submodels", "submodel_variances") if name in found}


def _npz_intervals(selection: OutputSelection, found: Arrays) -> dict[str, Any]:
    if not selection.regions:
        return {}
    ends = [np.stack(bounds(one, found), axis=1) for one in selection.regions]
    coverages = np.array([one.coverage for one in selection.regions])
    return {"intervals": np.stack(ends, axis=1), "intervals.coverage": coverages}


class RegressionAnswers(TaskAnswers):
    """Two menus, with and without a predicted variance, and two for dense heads; a response holds every interval."""

    menus = (_MENU, _MENU_WITHOUT_SCORES, _DENSE, _DENSE_WITHOUT_SCORES)
    json: ClassVar = {
        "submodels": _json_submodels,
        "intervals": _json_intervals,
        "row_prediction": _json_row("prediction"),
        "row_submodels": _json_row("submodels"),
        "row_scores": row_scores,
    }
    npz: ClassVar = {
        "submodels": _npz_submodels,
        "intervals": _npz_intervals,
        "row_scores": npz_row_scores,
    }

    def menu(self, head: Head) -> Menu:
        """Depends on whether the head has scores, and on whether it is dense."""
        if head.grid:
            return _DENSE if head.scores else _DENSE_WITHOUT_SCORES
        return _MENU if head.scores else _MENU_WITHOUT_SCORES

    def regions(self, calibration: Calibration) -> tuple[Interval, ...]:
        """Intervals."""
        return calibration.intervals

    def default_regions(self, calibration: Calibration) -> tuple[Interval, ...]:
        """All of them."""
        return calibration.intervals
