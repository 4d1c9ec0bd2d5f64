"""All figures of one model as JSON-compatible values: on test, corrupted and out-of-distribution rows."""

from collections.abc import Mapping
from typing import Any

from app.contract.head import Head
from app.contract.schema import Contract
from models.evaluation.answers import AnsweredCorruptions, Answers, Outputs
from models.evaluation.tasks import evaluator_of


def measure(
    contract: Contract, head: Head, test: Answers, ood: Mapping[str, Outputs], corrupted: AnsweredCorruptions
) -> dict[str, Any]:
    """Computes the figures of a head's answers, as they are served.

    Args:
        test: answers to rows used for nothing else.
        ood: of out-of-distribution rows, by name.
        corrupted: of corrupted test rows, kind by kind and severity by severity.

    Returns:
        `test` (for a classifier, accuracy and so on before and after calibration), `corrupted` (by kind, a list over
        severities) and `ood` (by name and score: AUROC, AUPR, FPR95). A task without such figures leaves them empty.
    """
    task = evaluator_of(head)
    by_kind: dict[str, list[dict[str, float]]] = {}
    for kind, _, answers in corrupted:
        by_kind.setdefault(kind, []).append(task.measure_corrupted(head, answers))
    return {
        "method": contract.method,
        "num_submodels": contract.num_submodels,
        "temperature": head.temperature,
        "test": task.measure(head, test),
        "corrupted": by_kind,
        "ood": {name: task.measure_ood(test, outputs) for name, outputs in ood.items()},
    }
