"""Every figure of one model as JSON has it: of test rows, of the same corrupted, and of out-of-distribution rows."""

from collections.abc import Mapping
from typing import Any

from app.contract.schema import Contract
from models.evaluation.answers import AnsweredCorruptions, Answers, Outputs
from models.evaluation.tasks import TASKS


def measure(
    contract: Contract, test: Answers, ood: Mapping[str, Outputs], corrupted: AnsweredCorruptions
) -> dict[str, Any]:
    """Figures of the answers that a model gives as it is served.

    Args:
        test: of rows that took part in nothing else.
        ood: of out-of-distribution rows, by name.
        corrupted: of corrupted test rows, kind by kind and severity by severity.

    Returns:
        `test` (of a classifier accuracy and so on before and after calibration), `corrupted` (by kind, a list over the
        severities) and `ood` (by name and score: AUROC, AUPR, FPR95). A task without such figures leaves them empty.
    """
    task = TASKS[contract.task]
    by_kind: dict[str, list[dict[str, float]]] = {}
    for kind, _, answers in corrupted:
        by_kind.setdefault(kind, []).append(task.measure_corrupted(contract, answers))
    return {
        "method": contract.method,
        "num_submodels": contract.num_submodels,
        "temperature": contract.temperature,
        "test": task.measure(contract, test),
        "corrupted": by_kind,
        "ood": {name: task.measure_ood(test, outputs) for name, outputs in ood.items()},
    }
