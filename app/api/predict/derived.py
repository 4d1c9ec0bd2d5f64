"""What follows from a head's scores and its calibration in every task: percentiles and decisions."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from app.api.predict.tasks.task import OutputSelection
from app.contract.contract_model import Score
from app.contract.decisions import Decided, Decision, stricter

Scores = Mapping[Score, NDArray[Any]]


def percentiles(selection: OutputSelection, of_rows: Scores) -> dict[Score, list[float]] | None:
    """The percentile of each row, 0 to 100 with two decimals, for each score that has quantiles.

    Args:
        of_rows: the scores [B] of the head.
    """
    if not selection.tables:
        return None
    return {name: table.percentages(of_rows[name]) for name, table in selection.tables.items()}


def decisions(selection: OutputSelection, of_rows: Scores, decided: Decided) -> list[Decision] | None:
    """The model's or the operator's decision on each row, or the request's if that is more severe.

    Args:
        of_rows: the scores [B] of the head.
        decided: counts the model's or operator's decisions, whatever the request's are.
    """
    if not selection.policies:
        return None
    first, *others = (policy.decide(of_rows) for policy in selection.policies)
    if selection.policies[0].source != "request":
        name = selection.head.name
        decided.update((name, decision.action) for decision in first)
    return stricter(first, others[0]) if others else first
