"""What follows from a graph's scores and its calibration in every task: percentiles and decisions."""

from collections import Counter
from operator import attrgetter

import numpy as np

from app.api.predict.tasks.task import Arrays, OutputSelection
from app.contract.decisions import Action, Decision, stricter
from app.contract.percentiles import percentages
from app.engine.model import Model

_DECIMALS = 2
_ACTION = attrgetter("action")


def percentiles(model: Model, found: Arrays) -> Arrays | None:
    """The percentile [B] of each row, 0 to 100 with two decimals, for each score in the model's tables."""
    if not model.tables:
        return None
    of_rows = model.contract.score_values(found)
    places = np.array([percentages(table, of_rows[name]) for name, table in model.tables.items()])
    return dict(zip(model.tables, places.round(_DECIMALS)))


def decisions(
    model: Model, selection: OutputSelection, found: Arrays, decided: Counter[Action]
) -> list[Decision] | None:
    """The model's or the operator's decision on each row, or the request's if that is more severe.

    Args:
        decided: counts the model's or operator's decisions, whatever the request's are.
    """
    policies = [policy for policy in (model.policy, selection.policy) if policy is not None]
    if not policies:
        return None
    of_rows = model.contract.score_values(found)
    first, *others = (policy.decide(of_rows) for policy in policies)
    if model.policy is not None:
        decided.update(map(_ACTION, first))
    return stricter(first, others[0]) if others else first
