"""How figures are printed."""

from typing import TYPE_CHECKING

from app.contract.calibration import Calibration
from app.contract.schema import Contract
from app.contract.tasks import Evaluation

if TYPE_CHECKING:
    from models.evaluation.policy_outcome import PolicyOutcome


def fitted(contract: Contract, calibration: Calibration) -> str:
    """Describes what a calibration fitted."""
    from models.evaluation.tasks import TASKS

    return TASKS[contract.task].describe_fit(calibration)


def show(contract: Contract, evaluation: Evaluation) -> None:
    """Prints an evaluation."""
    from models.evaluation.tasks import TASKS

    print(*TASKS[contract.task].describe(evaluation), sep="\n")


def show_outcome(contract: Contract, found: "PolicyOutcome") -> None:
    """Prints the outcome of a policy and of prediction sets."""
    from models.evaluation.tasks import TASKS
    from models.evaluation.tasks.task import four_decimals

    task, accepted = TASKS[contract.task], found.accepted()
    if contract.policy:
        among = four_decimals(task.mean_error(found.errors[accepted])) if accepted.any() else "none"
        print(
            f"policy: {100 * found.share('accept'):.1f} % accepted, {100 * found.share('defer'):.1f} % deferred, "
            f"{100 * found.share('reject'):.1f} % rejected; {task.error_name} {among} among the accepted, "
            f"{four_decimals(task.mean_error(found.errors))} overall"
        )
    for coverage, (held, sizes) in found.sets.items():
        print(task.describe_sets(coverage, held, sizes))


def show_corrupted(contract: Contract, severity: int, found: "PolicyOutcome") -> None:
    """Prints the same for corrupted rows."""
    from models.evaluation.tasks import TASKS
    from models.evaluation.tasks.task import four_decimals

    task = TASKS[contract.task]
    print(f"corrupted, severity {severity}: {task.error_name} {four_decimals(task.mean_error(found.errors))}")
    show_outcome(contract, found)
