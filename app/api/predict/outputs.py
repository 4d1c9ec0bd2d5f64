"""Checks what a request wants of a model against what the model has."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from app.api.predict.params import PredictParams
from app.api.predict.tasks import ANSWERS
from app.api.predict.tasks.task import OutputSelection, TaskAnswers
from app.contract import policy
from app.contract.decisions import DecisionPolicy
from app.contract.head import Head
from app.engine.model import Model
from app.errors import InvalidInput
from app.feedback.receipt import why_none

Asked = tuple[tuple[str, ...] | None, float | None]
"""Outputs and coverage."""
_known: WeakKeyDictionary[Model, dict[Asked, tuple[OutputSelection, ...]]] = WeakKeyDictionary()
"""What was worked out before: that takes as long as to read a small body, and clients ask for the same again."""
_MOST_KNOWN = 64  # of a model; clients choose what they ask for
_RECEIPT = "receipt"
_COVERAGE_TOLERANCE = 1e-6  # a client may send 0.9 as a float32


def choose(asked: PredictParams, model: Model) -> tuple[OutputSelection, ...]:
    """Chooses outputs, policy and coverage for a request, for each head that it wants something of.

    Raises:
        InvalidInput: the model lacks an output, a score of the policy or the coverage, or the policy is invalid.
    """
    known = _known.setdefault(model, {})
    key = (None if asked.outputs is None else tuple(asked.outputs), asked.coverage)
    if asked.policy is None and key in known:
        return known[key]
    found = _choose(asked, model)
    if asked.policy is None and len(known) < _MOST_KNOWN:
        known[key] = found
    return found


def _choose(asked: PredictParams, model: Model) -> tuple[OutputSelection, ...]:
    heads = model.contract.heads
    own = {} if asked.policy is None else _policies(asked.policy, heads)
    if asked.coverage is not None and not any(_regions(head, asked.coverage) for head in heads):
        there = [f"{one.coverage}" for head in heads for one in _calibrated(head)]
        known = ", ".join(dict.fromkeys(there)) or "none"
        raise InvalidInput(f"the model was not calibrated for that coverage; there are: {known}", "coverage")
    selections: list[OutputSelection] = []
    for head, outputs in _by_head(asked.outputs, heads):
        name = head.name
        if outputs is not None and _RECEIPT in outputs and (why := why_none(head)) is not None:
            raise InvalidInput(why, "outputs")
        chosen, needed = _task(head).menu(head).choose(outputs)
        selections.append(
            OutputSelection(
                head,
                chosen,
                tuple(map(head.graph_name, needed)) if name else needed,
                tuple([policies[name] for policies in (model.policies, own) if name in policies]),
                model.tables[name],
                _regions(head, asked.coverage),
            )
        )
    return tuple(selections)


def _by_head(outputs: Sequence[str] | None, heads: Sequence[Head]) -> list[tuple[Head, Sequence[str] | None]]:
    """The heads that something is wanted of, with the plain names of their outputs; None for the default ones."""
    if outputs is None or len(heads) == 1:
        return [(head, outputs) for head in heads]
    menus = {head.name: ANSWERS[head.task].menu(head).selectable for head in heads}
    wanted: dict[str, list[str]] = {}
    for index, output in enumerate(outputs):
        named, _, plain = output.rpartition(".")
        fitting = [name for name, menu in menus.items() if named in ("", name) and plain in menu]
        if not fitting and plain == _RECEIPT and named in ("", *menus):
            head = next(head for head in heads if named in ("", head.name))
            raise InvalidInput(why_none(head) or "", f"outputs[{index}]")
        if not fitting:
            there = dict.fromkeys(output for menu in menus.values() for output in menu)
            raise InvalidInput(
                f"unknown output {output[:100]!r}; expected some of {', '.join(there)}, "
                f"or one of these after the name of a head, {', '.join(menus)}, and a dot",
                f"outputs[{index}]",
            )
        for name in fitting:
            wanted.setdefault(name, []).append(plain)
    if not wanted:
        raise InvalidInput("expected at least one output, or no `outputs` for all of them", "outputs")
    return [(head, wanted[head.name]) for head in heads if head.name in wanted]


def _policies(text: str, heads: Sequence[Head]) -> dict[str, DecisionPolicy]:
    try:
        found = policy.resolve(policy.parse(text), heads)
    except ValueError as error:
        raise InvalidInput(str(error), "policy") from None
    return {name: DecisionPolicy(own, "request") for name, own in found.items()}


def _calibrated(head: Head) -> tuple[Any, ...]:
    return _task(head).regions(head.calibration) if head.calibration else ()


def _regions(head: Head, coverage: float | None) -> tuple[Any, ...]:
    """The requested prediction sets or intervals of a head."""
    if coverage is None:
        return _task(head).default_regions(head.calibration) if head.calibration else ()
    return tuple(one for one in _calibrated(head) if abs(one.coverage - coverage) <= _COVERAGE_TOLERANCE)[:1]


def _task(head: Head) -> TaskAnswers:
    return ANSWERS[head.task]
