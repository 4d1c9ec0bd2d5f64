"""Policies as text, where scores lie among those of the calibration, and what to do with an answer because of it.

A policy is written as rules, separated by commas, of which the first that applies decides:
`reject energy>p99, defer entropy>0.62, defer confidence<p5`. `pNN` is a percentile of the score on the calibration
rows; `cNN` and `rNN` are the model's thresholds that promise a coverage or a risk of NN %, each for its rule alone
(see `calibration.Threshold`).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from app.contract.contract_model import Score
from app.contract.repository import check_name
from app.contract.schema import Contract, Policy, Rule

Action = Literal["accept", "defer", "reject"]
Source = Literal["model", "operator", "request"]
"""Whose rule it is."""

EVERY_MODEL = "*"
TOLERANCE = 1e-6
"""By which share of itself a threshold must be passed: scores are float32, and thresholds in a file are rounded."""

_ACTIONS: dict[str, Literal["reject", "defer"]] = {"reject": "reject", "defer": "defer"}
_SEVERITY = {"accept": 0, "defer": 1, "reject": 2}
_SCORES: tuple[Score, ...] = get_args(Score)
_PERCENTS = np.arange(101, dtype=np.float64)
_RULE = re.compile(r"(\w+)\s+(\w+)\s*([<>])\s*(\S+)", re.ASCII)
_NUMBER = re.compile(r"([pcr]?)([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)", re.ASCII | re.IGNORECASE)
_LEVELS: dict[str, Literal["percentile", "coverage", "risk"]] = {"p": "percentile", "c": "coverage", "r": "risk"}
_SHOWN = 60


@dataclass(frozen=True)
class Clause:
    """A rule as it is written; `level` is the threshold itself, or in percent what it is `of`."""

    action: Literal["reject", "defer"]
    score: Score
    level: float
    of: Literal["percentile", "coverage", "risk"] | None = None


Policies = Mapping[str, tuple[Clause, ...]]
"""By name of a model, or `*` for all others; without clauses for no policy."""
NO_POLICIES: Policies = MappingProxyType({})


@dataclass(slots=True)
class Decision:
    """What to do with the answer to a row, and the rule that says so: the last one where none applies."""

    action: Action
    score: Score
    value: Any
    """A scalar of NumPy, as the graph gave it."""
    threshold: float
    policy: Source


def parse(text: str) -> tuple[Clause, ...]:
    """The rules of a policy.

    Raises:
        ValueError: a rule is not `ACTION SCORE>THRESHOLD`, or `ACTION confidence<THRESHOLD`.
    """
    return tuple(_clause(part.strip()) for part in text.split(","))


def parse_all(text: str) -> Policies:
    """Policies of several models: `digits=defer entropy>p95; cats=none; *=reject energy>p99`.

    Raises:
        ValueError: a policy is none, or a name is none or there twice.
    """
    found: dict[str, tuple[Clause, ...]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, rules = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ValueError(f"{_short(part)}: expected name=rules, such as *=defer entropy>p95, or name=none")
        if name != EVERY_MODEL:
            check_name(name)
        if name in found:
            raise ValueError(f"there are two policies for {name}")
        found[name] = () if rules == "none" else parse(rules)
    return found


def _clause(text: str) -> Clause:
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"rule {_short(text)}: expected ACTION SCORE>THRESHOLD, such as defer entropy>p95")
    action, score, sign, threshold = match.groups()
    if action not in _ACTIONS:
        raise ValueError(f"rule {_short(text)}: unknown action {_short(action)}; expected reject or defer")
    if score not in _SCORES:
        raise ValueError(f"rule {_short(text)}: unknown score {_short(score)}; expected one of {', '.join(_SCORES)}")
    if sign != (wanted := "<" if score == "confidence" else ">"):
        raise ValueError(f"rule {_short(text)}: expected {score}{wanted}, the side on which the model is less sure")
    number = _NUMBER.fullmatch(threshold)
    level = float(number[2]) if number else math.nan
    of = _LEVELS.get(number[1].lower()) if number else None
    if not math.isfinite(level) or (of and not 0 <= level <= 100):
        raise ValueError(
            f"rule {_short(text)}: expected a finite number, p0 to p100, c0 to c100 or r0 to r100, "
            f"got {_short(threshold)}"
        )
    return Clause(_ACTIONS[action], score, level, of)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def resolve(clauses: Sequence[Clause], contract: Contract) -> Policy:
    """The policy for a model, percentiles and promises looked up in its calibration.

    Raises:
        ValueError: the model has no such score, no quantiles of it, or no such promise.
    """
    quantiles = contract.calibration.quantiles if contract.calibration else {}
    rules = []
    for clause in clauses:
        if clause.score not in contract.scores:
            raise ValueError(f"the model has no score {clause.score!r}; it has {', '.join(contract.scores) or 'none'}")
        threshold = clause.level
        if clause.of in ("coverage", "risk"):
            threshold = _promised(clause, contract)
        elif clause.of == "percentile":
            if clause.score not in quantiles:
                raise ValueError(f"a percentile of {clause.score!r} is wanted, and the model was not calibrated for it")
            threshold = float(np.interp(clause.level, _PERCENTS, quantiles[clause.score]))
        rules.append(Rule(action=clause.action, score=clause.score, threshold=threshold))
    return Policy(rules=tuple(rules))


def _promised(clause: Clause, contract: Contract) -> float:
    """The threshold whose promise a clause names."""
    found = {
        f"{one.promise[0]}{100 * one.target:g}": one.value
        for one in (contract.calibration.thresholds if contract.calibration else ())
        if one.score == clause.score
    }
    asked = f"{(clause.of or '')[:1]}{clause.level:g}"
    if asked not in found:
        raise ValueError(f"the model promises no {asked} of {clause.score!r}; it has {', '.join(found) or 'none'}")
    return found[asked]


def scores(contract: Contract, found: Mapping[str, NDArray[Any]]) -> dict[Score, NDArray[Any]]:
    """The scores [B] that a contract names, from the graph's outputs; `confidence` is the largest mean probability."""
    return {
        name: found["probabilities"].max(axis=-1) if name == "confidence" else found[name] for name in contract.scores
    }


def tables(contract: Contract) -> dict[Score, NDArray[np.float64]]:
    """The 0 %, 1 %, … 100 % quantiles [101] of each score that the model has and was calibrated for.

    Without those that were the same on all calibration rows, such as the mutual information of a single network: where
    a row lies among equals says nothing.
    """
    quantiles = contract.calibration.quantiles if contract.calibration else {}
    return {
        score: np.array(table, np.float64)
        for score in contract.scores
        if (table := quantiles.get(score)) and table[0] < table[-1]
    }


def percentiles(table: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """Where scores [B] lie among those of the calibration rows: 0 to 100, linear between quantiles.

    A value that several quantiles have gets the highest of their percentages; below all it is 0, above all 100.
    """
    found: NDArray[np.float64] = np.interp(values, table, _PERCENTS)
    return found


class DecisionPolicy:
    """A policy made ready for arrays of scores.

    Args:
        source: whose it is.
    """

    def __init__(self, policy: Policy, source: Source) -> None:
        self.policy = policy
        self.source = source
        self._scores = [rule.score for rule in policy.rules]
        self._signs = np.array([[-1.0 if score == "confidence" else 1.0] for score in self._scores])
        thresholds = np.array([[rule.threshold] for rule in policy.rules])
        self._edges = self._signs * thresholds + TOLERANCE * np.abs(thresholds)

    def decide(self, scores: Mapping[Score, NDArray[Any]]) -> list[Decision]:
        """A decision for each row, from scores [B] by name. The first rule that applies; where none does, accept."""
        values = np.array([scores[score] for score in self._scores], np.float64)
        beyond = self._signs * values > self._edges
        first = np.where(beyond.any(axis=0), beyond.argmax(axis=0), -1).tolist()
        decisions = []
        for row, index in enumerate(first):
            rule = self.policy.rules[index]
            action: Action = rule.action if index >= 0 else "accept"
            decisions.append(Decision(action, rule.score, scores[rule.score][row], rule.threshold, self.source))
        return decisions


def judge(policies: Policies, name: str, contract: Contract) -> DecisionPolicy | None:
    """What decides on a model's answers: the operator's policy for it or for all, or else its own.

    Raises:
        ValueError: the model cannot keep the operator's; see `resolve`.
    """
    clauses = policies.get(name, policies.get(EVERY_MODEL))
    if clauses is None:
        return None if contract.policy is None else DecisionPolicy(contract.policy, "model")
    return DecisionPolicy(resolve(clauses, contract), "operator") if clauses else None


def stricter(own: Sequence[Decision], others: Sequence[Decision]) -> list[Decision]:
    """The more severe of two decisions on each row; of equals the own one."""
    return [b if _SEVERITY[b.action] > _SEVERITY[a.action] else a for a, b in zip(own, others)]
