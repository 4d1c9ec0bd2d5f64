"""How figures are printed."""

from typing import TYPE_CHECKING

from app.contract.calibration import Calibration
from app.contract.head import Head
from app.contract.tasks import Evaluation

if TYPE_CHECKING:
    from models.evaluation.policy_outcome import PolicyOutcome


def tell(head: Head, *lines: str) -> None:
    """Prints lines about a head, with its name before them if it has one."""
    for line in lines:
        print(f"{head.name}: {line}" if head.name else line)


def fitted(head: Head, calibration: Calibration) -> str:
    """Describes what a calibration fitted."""
    from models.evaluation.tasks import evaluator_of

    return evaluator_of(head).describe_fit(calibration)


def show(head: Head, evaluation: Evaluation) -> None:
    """Prints an evaluation."""
    from models.evaluation.tasks import evaluator_of

    tell(head, *evaluator_of(head).describe(evaluation))


def show_outcome(head: Head, found: "PolicyOutcome") -> None:
    """Prints the outcome of a policy and of prediction sets."""
    from models.evaluation.tasks import evaluator_of
    from models.evaluation.tasks.task import four_decimals

    task, accepted = evaluator_of(head), found.accepted()
    if head.policy:
        among = four_decimals(task.mean_error(found.errors[accepted])) if accepted.any() else "none"
        tell(
            head,
            f"policy: {100 * found.share('accept'):.1f} % accepted, {100 * found.share('defer'):.1f} % deferred, "
            f"{100 * found.share('reject'):.1f} % rejected; {task.error_name} {among} among the accepted, "
            f"{four_decimals(task.mean_error(found.errors))} overall",
        )
    for coverage, (held, sizes) in found.sets.items():
        tell(head, task.describe_sets(coverage, held, sizes))


def show_corrupted(head: Head, severity: int, found: "PolicyOutcome") -> None:
    """Prints the same for corrupted rows."""
    from models.evaluation.tasks import evaluator_of
    from models.evaluation.tasks.task import four_decimals

    task = evaluator_of(head)
    tell(head, f"corrupted, severity {severity}: {task.error_name} {four_decimals(task.mean_error(found.errors))}")
    show_outcome(head, found)
