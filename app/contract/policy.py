"""Policies: how a contract stores them, how an operator or a request writes them, and how the one becomes the other.

A policy is written as rules, separated by commas; the first that applies decides:
`reject energy>p99, defer entropy>0.62, defer confidence<p5`. `pNN` is a percentile of the score on the calibration
rows. `cNN` and `rNN` are the model's thresholds that guarantee a coverage or a risk of NN %, each for its rule alone
(see `calibration.Threshold`).

Where a model has several heads, a rule about one of them says so: `defer steering.entropy>p95`. A rule that names none
is one for each head that has the score.

A rule applies on the side on which the model is less sure. `energy` has another one: far outside of its data, as where
inputs come in wrong units, logits grow and energy falls below all that was seen: `reject energy<p0` is a rule, too.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from app.contract.contract_model import ContractModel, Parts, Score
from app.contract.repository import check_name

if TYPE_CHECKING:
    from app.contract.head import Head

EVERY_MODEL = "*"

_ACTIONS: dict[str, Literal["reject", "defer"]] = {"reject": "reject", "defer": "defer"}
_SCORES: tuple[Score, ...] = get_args(Score)
_TWO_SIDED: tuple[Score, ...] = ("energy",)
_PERCENTS = np.arange(101, dtype=np.float64)
# ASCII: \d would match digits of other scripts
_RULE = re.compile(r"(\w+)\s+(?:([\w-]+)\.)?(\w+)\s*([<>])\s*(\S+)", re.ASCII)
_NUMBER = re.compile(r"([pcr]?)([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)", re.ASCII | re.IGNORECASE)
_LEVELS: dict[str, Literal["percentile", "coverage", "risk"]] = {"p": "percentile", "c": "coverage", "r": "risk"}
_SHOWN = 60  # characters of a bad rule in a message


class Rule(ContractModel):
    """What to do with a row whose score lies above a threshold; for `confidence`, or if `below` is true, below it."""

    action: Literal["reject", "defer"]
    """`reject`: the input is outside the model's world, don't use the answer. `defer`: it is ambiguous, let somebody
    else look."""
    score: Score
    threshold: float
    below: bool | None = None
    """Of `energy` alone."""

    @property
    def sign(self) -> float:
        """1 if it applies above the threshold, −1 if below."""
        return -1.0 if self.below or self.score == "confidence" else 1.0

    @model_validator(mode="after")
    def _two_sided(self) -> Self:
        if self.below and self.score not in _TWO_SIDED:
            raise ValueError(f"below: expected of {', '.join(_TWO_SIDED)} alone, got {self.score}")
        return self


class Policy(ContractModel):
    """What to do with an answer: the first rule that applies says so, and where none does the answer is accepted."""

    rules: Annotated[Parts[Rule], Field(min_length=1)]


@dataclass(frozen=True)
class Clause:
    """A rule as written; `level` is the threshold itself, or a percentage of the kind `of`."""

    action: Literal["reject", "defer"]
    score: Score
    level: float
    of: Literal["percentile", "coverage", "risk"] | None = None
    below: bool | None = None
    head: str | None = None
    """The head that it is about; all that have the score if it names none."""


Policies = Mapping[str, tuple[Clause, ...]]
"""Clauses by name of a model, or `*` for all others; no clauses mean no policy."""
NO_POLICIES: Policies = MappingProxyType({})


def parse(text: str) -> tuple[Clause, ...]:
    """Parses the rules of a policy.

    Raises:
        ValueError: a rule is not `ACTION SCORE>THRESHOLD`, or `ACTION confidence<THRESHOLD`.
    """
    return tuple(_clause(part.strip()) for part in text.split(","))


def parse_all(text: str) -> Policies:
    """Parses policies of several models: `digits=defer entropy>p95; cats=none; *=reject energy>p99`.

    Raises:
        ValueError: a policy or a name is invalid, or a name occurs twice.
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
    action, head, score, sign, threshold = match.groups()
    if action not in _ACTIONS:
        raise ValueError(f"rule {_short(text)}: unknown action {_short(action)}; expected reject or defer")
    if score not in _SCORES:
        raise ValueError(f"rule {_short(text)}: unknown score {_short(score)}; expected one of {', '.join(_SCORES)}")
    below = (sign == "<" and score in _TWO_SIDED) or None
    if not below and sign != (wanted := "<" if score == "confidence" else ">"):
        raise ValueError(f"rule {_short(text)}: expected {score}{wanted}, the side on which the model is less sure")
    number = _NUMBER.fullmatch(threshold)
    level = float(number[2]) if number else math.nan
    of = _LEVELS.get(number[1].lower()) if number else None
    # 1e999 matches the pattern and is infinite
    if not math.isfinite(level) or (of and not 0 <= level <= 100):
        raise ValueError(
            f"rule {_short(text)}: expected a finite number, p0 to p100, c0 to c100 or r0 to r100, "
            f"got {_short(threshold)}"
        )
    if below and of in ("coverage", "risk"):
        raise ValueError(f"rule {_short(text)}: cNN and rNN bound {score} from above; below, expected a number or pNN")
    return Clause(_ACTIONS[action], score, level, of, below, head)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def resolve(clauses: Sequence[Clause], heads: "Sequence[Head]") -> dict[str, Policy]:
    """The policy of each head that has one, by its name, with percentiles and guarantees looked up in its calibration.

    Raises:
        ValueError: there is no such head, no head has such a score, no quantiles for it, or no such guarantee.
    """
    rules: dict[str, list[Rule]] = {}
    for clause in clauses:
        named = [head for head in heads if clause.head in (None, head.name)]
        if not named:
            there = ", ".join(filter(None, (head.name for head in heads))) or "one without a name"
            raise ValueError(f"the model has no head {clause.head!r}; it has {there}")
        fitting = [head for head in named if clause.score in head.scores]
        if not fitting:
            there = ", ".join(dict.fromkeys(score for head in named for score in head.scores)) or "none"
            raise ValueError(f"the model has no score {clause.score!r}; it has {there}")
        for head in fitting:
            rules.setdefault(head.name, []).append(_rule(clause, head))
    return {name: Policy(rules=tuple(of)) for name, of in rules.items()}


def _rule(clause: Clause, head: "Head") -> Rule:
    quantiles = head.calibration.quantiles if head.calibration else {}
    threshold = clause.level
    if clause.of in ("coverage", "risk"):
        threshold = _guaranteed(clause, head)
    elif clause.of == "percentile":
        if clause.score not in quantiles:
            raise ValueError(f"a percentile of {clause.score!r} is wanted, and the model was not calibrated for it")
        threshold = float(np.interp(clause.level, _PERCENTS, quantiles[clause.score]))
    return Rule(action=clause.action, score=clause.score, threshold=threshold, below=clause.below)


def _guaranteed(clause: Clause, head: "Head") -> float:
    """The threshold whose guarantee a clause names."""
    found = {
        f"{one.guarantee[0]}{100 * one.target:g}": one.value  # 100 * 0.29 is not 29; :g rounds
        for one in (head.calibration.thresholds if head.calibration else ())
        if one.score == clause.score
    }
    asked = f"{(clause.of or '')[:1]}{clause.level:g}"
    if asked not in found:
        raise ValueError(f"the model guarantees no {asked} of {clause.score!r}; it has {', '.join(found) or 'none'}")
    return found[asked]
