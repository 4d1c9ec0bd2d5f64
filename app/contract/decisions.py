"""What to do with an answer: applies a policy to the scores of each row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.contract.contract_model import Score
from app.contract.policy import EVERY_MODEL, Policies, Policy, resolve
from app.contract.schema import Contract

Action = Literal["accept", "defer", "reject"]
Decided = Counter[tuple[str, Action]]
"""Numbers of rows by the head that was decided on, and the decision."""
Source = Literal["model", "operator", "request"]
"""Whose rule decides."""

TOLERANCE = 1e-6
"""Relative margin by which a score must pass a threshold: scores are float32, and thresholds in a file are rounded."""

_SEVERITY = {"accept": 0, "defer": 1, "reject": 2}


@dataclass(slots=True)
class Decision:
    """What to do with the answer to a row, and the rule that decides: the last one if none applies."""

    action: Action
    score: Score
    value: Any
    """A NumPy scalar, as the graph gave it."""
    threshold: float
    policy: Source


class DecisionPolicy:
    """A policy prepared for arrays of scores.

    Args:
        source: whose policy it is.
    """

    def __init__(self, policy: Policy, source: Source) -> None:
        self.policy = policy
        self.source = source
        self._scores = [rule.score for rule in policy.rules]
        # with the sign turned of what applies below its threshold, one comparison serves all
        self._signs = np.array([[rule.sign] for rule in policy.rules])
        thresholds = np.array([[rule.threshold] for rule in policy.rules])
        self._edges = self._signs * thresholds + TOLERANCE * np.abs(thresholds)

    def decide(self, scores: Mapping[Score, NDArray[Any]]) -> list[Decision]:
        """A decision for each row, from scores [B] by name: the first rule that applies, or accept if none does."""
        values = np.array([scores[score] for score in self._scores], np.float64)
        beyond = self._signs * values > self._edges  # [rules, B]
        first = np.where(beyond.any(axis=0), beyond.argmax(axis=0), -1).tolist()
        decisions = []
        for row, index in enumerate(first):
            rule = self.policy.rules[index]  # −1: none applies, and the last rule is shown
            action: Action = rule.action if index >= 0 else "accept"
            decisions.append(Decision(action, rule.score, scores[rule.score][row], rule.threshold, self.source))
        return decisions


def policies_for(policies: Policies, name: str, contract: Contract) -> dict[str, DecisionPolicy]:
    """The policies that decide on a model's answers, by the name of their head: the operator's for it or for all
    models, otherwise its own.

    Raises:
        ValueError: the operator's policy does not fit the model; see `resolve`.
    """
    clauses = policies.get(name, policies.get(EVERY_MODEL))
    if clauses is None:
        return {head.name: DecisionPolicy(head.policy, "model") for head in contract.heads if head.policy is not None}
    found = resolve(clauses, contract.heads)  # `none` has no clauses
    return {head: DecisionPolicy(policy, "operator") for head, policy in found.items()}


def stricter(own: Sequence[Decision], others: Sequence[Decision]) -> list[Decision]:
    """The more severe of two decisions on each row; the own one if they are equal."""
    return [b if _SEVERITY[b.action] > _SEVERITY[a.action] else a for a, b in zip(own, others)]
