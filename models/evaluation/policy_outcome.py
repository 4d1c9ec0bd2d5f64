"""The outcome of a model's policy and prediction sets on labelled rows, clean or corrupted. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.decisions import DecisionPolicy
from app.contract.head import Head
from app.contract.schema import Contract
from models.evaluation.answers import Answers
from models.evaluation.tasks import evaluator_of
from models.evaluation.tasks.task import Sets

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PolicyOutcome:
    """The outcome for B rows.

    Args:
        errors: [B, 1] whether a class or any label is wrong; [B, D] a regressor's squared errors.
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
        """JSON-compatible: shares of actions, errors of all and of accepted rows, coverage and size of the sets."""
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
        """[B] whether each row is accepted; all are if there is no policy."""
        return np.ones(len(self.errors), np.bool_) if self.actions is None else self.actions == "accept"


def apply_policy(head: Head, answers: Answers) -> PolicyOutcome:
    """Applies a head's policy and its prediction sets to answers."""
    task, actions = evaluator_of(head), None
    if head.policy is not None:
        decisions = DecisionPolicy(head.policy, "model").decide(head.score_values(answers.outputs))
        actions = np.array([decision.action for decision in decisions])
    return PolicyOutcome(task.errors(answers), actions, task.prediction_sets(head, answers))


def join(parts: Sequence[PolicyOutcome]) -> PolicyOutcome:
    """Joins the outcomes of several sets of rows under the same policy."""
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
    """Checks that a model's inputs can be corrupted.

    Raises:
        ValueError: its only input is not of images with the layout BCHW, or is float32 in a range other than 0 to 1.
    """
    given = contract.inputs[0]
    image = given.layout == "BCHW" and (given.dtype != "float32" or given.range == (0.0, 1.0))
    if len(contract.inputs) > 1 or not image:
        raise ValueError("only images can be corrupted: layout BCHW, and uint8, or float32 in the range 0 to 1")
