"""Checks what a request wants of a model against what the model has."""

from app.api.predict.params import PredictParams
from app.api.predict.tasks import ANSWERS
from app.api.predict.tasks.task import OutputSelection, TaskAnswers
from app.contract import policy
from app.contract.decisions import DecisionPolicy
from app.contract.schema import Contract
from app.errors import InvalidInput

_COVERAGE_TOLERANCE = 1e-6  # a client may send 0.9 as a float32


def choose(asked: PredictParams, contract: Contract) -> OutputSelection:
    """Chooses outputs, policy and coverage for a request.

    Raises:
        InvalidInput: the model lacks an output, a score of the policy or the coverage, or the policy is invalid.
    """
    task = ANSWERS[contract.task]
    chosen, needed = task.menu(contract).choose(asked.outputs)
    own = None if asked.policy is None else _policy(asked.policy, contract)
    return OutputSelection(chosen, needed, own, _regions(task, contract, asked.coverage))


def _policy(text: str, contract: Contract) -> DecisionPolicy:
    try:
        return DecisionPolicy(policy.resolve(policy.parse(text), contract), "request")
    except ValueError as error:
        raise InvalidInput(str(error), "policy") from None


def _regions(task: TaskAnswers, contract: Contract, coverage: float | None) -> tuple[object, ...]:
    """The requested prediction sets or intervals."""
    calibration = contract.calibration
    if coverage is None:
        return task.default_regions(calibration) if calibration else ()
    there = task.regions(calibration) if calibration else ()
    wanted = tuple(one for one in there if abs(one.coverage - coverage) <= _COVERAGE_TOLERANCE)
    if not wanted:
        known = ", ".join(str(one.coverage) for one in there) or "none"
        raise InvalidInput(f"the model was not calibrated for that coverage; there are: {known}", "coverage")
    return wanted[:1]
