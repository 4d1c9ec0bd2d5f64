"""What a model's policy and its prediction sets come to on labelled rows, as they are or corrupted. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.decisions import DecisionPolicy
from app.contract.schema import Contract
from models.evaluation.answers import Answers
from models.evaluation.tasks import TASKS
from models.evaluation.tasks.task import Sets

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PolicyOutcome:
    """What happened to B rows.

    Args:
        errors: [B, 1] whether a classifier's answer is wrong; [B, D] a regressor's squared errors.
        actions: [B] accept, defer or reject; None without a policy.
        sets: see `Sets`.
    """

    errors: NDArray[Any]
    actions: NDArray[np.str_] | None
    sets: Sets

    def share(self, action: str) -> float:
        """The share of rows that are accepted, deferred or rejected."""
        return float(np.mean(self.actions == action))

    def plain(self) -> dict[str, Any]:
        """As JSON has it: shares of the actions, errors of all and of the accepted, how the sets hold."""
        told: dict[str, Any] = {"rows": len(self.errors), "error": self.errors.mean(axis=0).tolist()}
        if self.actions is not None:
            accepted = self.accepted()
            told |= {action: self.share(action) for action in ("accept", "defer", "reject")}
            told["error_accepted"] = self.errors[accepted].mean(axis=0).tolist() if accepted.any() else None
        told["sets"] = {
            f"{100 * coverage:g}": {"coverage": float(held.mean()), "size": float(size.mean())}
            for coverage, (held, size) in self.sets.items()
        }
        return told

    def accepted(self) -> Bools:
        """[B]; all rows where there is no policy."""
        return np.ones(len(self.errors), np.bool_) if self.actions is None else self.actions == "accept"


def apply_policy(contract: Contract, answers: Answers) -> PolicyOutcome:
    """What happens to rows under the contract's policy, and how its prediction sets hold."""
    task, actions = TASKS[contract.task], None
    if contract.policy is not None:
        decisions = DecisionPolicy(contract.policy, "model").decide(contract.score_values(answers.outputs))
        actions = np.array([decision.action for decision in decisions])
    return PolicyOutcome(task.errors(answers), actions, task.prediction_sets(contract, answers))


def join(parts: Sequence[PolicyOutcome]) -> PolicyOutcome:
    """The outcome of all rows of several, which had the same contract."""
    actions = [part.actions for part in parts if part.actions is not None]
    return PolicyOutcome(
        np.concatenate([part.errors for part in parts]),
        np.concatenate(actions) if actions else None,
        {
            coverage: (
                np.concatenate([part.sets[coverage][0] for part in parts]),
                np.concatenate([part.sets[coverage][1] for part in parts]),
            )
            for coverage in parts[0].sets
        },
    )


def check_images(contract: Contract) -> None:
    """Whether a model takes what can be corrupted.

    Raises:
        ValueError: its inputs are no images of the layout BCHW, or of float32 in another range than 0 to 1.
    """
    given = contract.inputs[0]
    if given.layout != "BCHW" or (given.dtype == "float32" and given.range != (0.0, 1.0)):
        raise ValueError("only images can be corrupted: layout BCHW, and uint8, or float32 in the range 0 to 1")
