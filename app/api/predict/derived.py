"""What follows from a graph's outputs and its calibration: percentiles, prediction sets, intervals, decisions."""

from collections import Counter
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.predict.outputs import OutputSelection
from app.contract.calibration import Interval
from app.contract.decisions import Action, Decision, stricter
from app.contract.percentiles import percentages
from app.engine.model import Model
from app.errors import OutputNotFinite

Arrays = dict[str, NDArray[Any]]

_DECIMALS = 2
_ACTION = attrgetter("action")


def percentiles(model: Model, found: Arrays) -> Arrays | None:
    """Of each score in the model's tables, where the rows lie [B], 0 to 100 with two decimals."""
    if not model.tables:
        return None
    of_rows = model.contract.score_values(found)
    places = np.array([percentages(table, of_rows[name]) for name, table in model.tables.items()])
    return dict(zip(model.tables, places.round(_DECIMALS)))


def decisions(model: Model, wanted: OutputSelection, found: Arrays, decided: Counter[Action]) -> list[Decision] | None:
    """The model's or the operator's decision on each row, or the request's where that is more severe.

    Args:
        decided: the model's or the operator's are counted there, whatever the request's are.
    """
    judges = [judge for judge in (model.policy, wanted.judge) if judge is not None]
    if not judges:
        return None
    of_rows = model.contract.score_values(found)
    first, *others = (judge.decide(of_rows) for judge in judges)
    if model.policy is not None:
        decided.update(map(_ACTION, first))
    return stricter(first, others[0]) if others else first


def bounds(model: Model, one: Interval, found: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lower and the upper end [B, D] of an interval around each prediction.

    Raises:
        OutputNotFinite: there is none, because a variance is negative or far too large.
    """
    with np.errstate(all="ignore"):
        reach = np.array(one.factors, np.float32) * np.sqrt(found["variance"])
        lower, upper = found["prediction"] - reach, found["prediction"] + reach
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise OutputNotFinite(f"{model.name}:{model.version} gave a variance that makes no interval")
    return lower, upper
