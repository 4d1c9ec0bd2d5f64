"""What follows from a head's scores and its calibration in every task: percentiles and decisions."""

import numpy as np

from app.api.predict.tasks.task import OutputSelection
from app.contract.decisions import Decided, Decision, stricter
from app.contract.percentiles import percentages
from app.contract.tasks.task import Arrays

_DECIMALS = 2


def percentiles(selection: OutputSelection, found: Arrays) -> Arrays | None:
    """The percentile [B] of each row, 0 to 100 with two decimals, for each score that has quantiles."""
    if not selection.tables:
        return None
    of_rows = selection.head.score_values(found)
    places = np.array([percentages(table, of_rows[name]) for name, table in selection.tables.items()])
    return dict(zip(selection.tables, places.round(_DECIMALS)))


def decisions(selection: OutputSelection, found: Arrays, decided: Decided) -> list[Decision] | None:
    """The model's or the operator's decision on each row, or the request's if that is more severe.

    Args:
        decided: counts the model's or operator's decisions, whatever the request's are.
    """
    if not selection.policies:
        return None
    of_rows = selection.head.score_values(found)
    first, *others = (policy.decide(of_rows) for policy in selection.policies)
    if selection.policies[0].source != "request":
        name = selection.head.name
        decided.update((name, decision.action) for decision in first)
    return stricter(first, others[0]) if others else first
