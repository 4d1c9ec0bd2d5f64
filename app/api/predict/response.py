"""The responses of /predict: JSON, arrays in NumPy's format, or a picture."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import orjson

from app.api.accept import weights
from app.api.predict import derived, maps
from app.api.predict.derived import Scores
from app.api.predict.maps import MapForm
from app.api.predict.pictures import RANGE_HEADER
from app.api.predict.tasks import ANSWERS
from app.api.predict.tasks.task import JsonRows, OutputSelection, put
from app.contract.contract_model import Score
from app.contract.decisions import Decided, Decision
from app.contract.schema import shape_at
from app.contract.tasks.task import Arrays
from app.engine.model import Model
from app.feedback.receipt import Receipts

JSON: Literal["application/json"] = "application/json"
NPZ: Literal["application/x-npz"] = "application/x-npz"
PNG: Literal["image/png"] = "image/png"
MediaType = Literal["application/json", "application/x-npz", "image/png"]
_FROM_SCORES = frozenset({"percentiles", "decision", "receipt"})
SEVERAL = "several"
"""The `task` of a model with several heads, each of which names its own."""


class Wanted(NamedTuple):
    """What a request wants of a model, and in which form."""

    id: str | None
    selections: Sequence[OutputSelection]
    media_type: MediaType
    form: MapForm
    in_pictures: bool
    """Whether maps in JSON are pictures."""
    sizes: dict[str, int]
    """Of B and of free axes, by letter."""
    receipts: Receipts | None = None
    """Issues them, if any are wanted."""


def receipts_in(selections: Sequence[OutputSelection]) -> int:
    """How many receipts each row is to have."""
    return sum(["receipt" in selection.chosen for selection in selections])


def write_json(wanted: Wanted, model: Model, found: Arrays, decided: Decided) -> bytes:
    """Writes the response as JSON: one prediction for each row, with the chosen outputs in the menu's order.

    Args:
        found: outputs by their names in the graph.
        decided: see derived.decisions.

    Raises:
        OutputNotFinite: an interval is not finite, or a map that is to be a picture.
    """
    rows: JsonRows = [{} for _ in range(wanted.sizes["B"])]
    for selection in wanted.selections:
        own = selection.head.own(found)
        if not selection.head.name:
            _put(rows, selection, own, wanted, model, decided)
            continue
        named: JsonRows = [{"task": selection.head.task} for _ in rows]
        _put(named, selection, own, wanted, model, decided)
        for row, answer in zip(rows, named):
            row.setdefault("heads", {})[selection.head.name] = answer
    told: dict[str, Any] = {"id": wanted.id} if wanted.id is not None else {}
    heads = model.contract.heads
    told["model"] = {
        "name": model.name,
        "version": model.version,
        "task": SEVERAL if heads[0].name else heads[0].task,
        "method": model.contract.method,
        "num_submodels": model.contract.num_submodels,
    }
    told["predictions"] = rows
    return orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)


def _put(
    rows: JsonRows, selection: OutputSelection, found: Arrays, wanted: Wanted, model: Model, decided: Decided
) -> None:
    """Gives each row the chosen outputs of a head."""
    head = selection.head
    task = ANSWERS[head.task]
    of_maps = task.menu(head).maps
    of_rows = _scores(selection, found)
    decisions: list[Decision] | None = None
    if head.grid:
        put(rows, "grid", [list(shape_at(head.grid, wanted.sizes))] * len(rows))
    for choice in selection.chosen:
        if choice in of_maps:
            _put_map(rows, selection, choice, found, wanted, model)
        elif (write := task.json.get(choice)) is not None:
            write(rows, selection, found)
        elif choice == "percentiles":
            _put_percentiles(rows, derived.percentiles(selection, of_rows))
        elif choice == "decision":
            decisions = derived.decisions(selection, of_rows, decided)
            put(rows, choice, decisions)
        elif choice == "receipt":  # the last in every menu
            put(rows, choice, _issue(selection, found, of_rows, wanted, model, decisions))
        else:
            put(rows, choice, found[choice])


def _scores(selection: OutputSelection, found: Arrays) -> Scores:
    """The scores [B] of a head, looked up once for all that is made from them; none if nothing is."""
    return {} if _FROM_SCORES.isdisjoint(selection.chosen) else selection.head.score_values(found)


def _issue(
    selection: OutputSelection,
    found: Arrays,
    of_rows: Scores,
    wanted: Wanted,
    model: Model,
    decisions: list[Decision] | None,
) -> list[str]:
    """A receipt for each row.

    Args:
        decisions: those that were answered; None if none were, and a receipt then holds what they would have been.
    """
    if decisions is None:
        decisions = derived.decisions(selection, of_rows, Counter())
    receipts = cast(Receipts, wanted.receipts)
    return receipts.issue(model.name, model.version, selection.head, found, of_rows, decisions)


def _put_map(
    rows: JsonRows, selection: OutputSelection, choice: str, found: Arrays, wanted: Wanted, model: Model
) -> None:
    if wanted.in_pictures:
        maps.put_pictures(rows, selection, choice, found, model, wanted.form)
        return
    write = ANSWERS[selection.head.task].npz.get(choice)
    arrays = {choice: found[choice]} if write is None else write(selection, found)
    if not arrays:  # sets or intervals that the model was not calibrated for
        maps.put_numbers(rows, choice, [None] * len(rows))
    for name in arrays:
        if not name.endswith(".coverage"):
            maps.put_numbers(rows, name, arrays[name])


def _put_percentiles(rows: JsonRows, places: dict[Score, list[float]] | None) -> None:
    if places is None:
        put(rows, "percentiles", None)
        return
    for row, values in zip(rows, zip(*places.values())):
        row["percentiles"] = dict(zip(places, values))


def write_npz(wanted: Wanted, model: Model, found: Arrays, decided: Decided) -> bytes:
    """Writes the chosen outputs by name, as the graph gave them, and `model`, `version` and `id` as scalars.

    Derived values have these names: `percentiles.SCORE` [B]; `prediction_set`, booleans [B, K, G], and
    `prediction_set.coverage`; `shares` [B, K]; `row_scores.SCORE` [B]; `intervals` [B, C, 2, D, G], the lower and upper
    ends for each coverage, and `intervals.coverage` [C]; `decision` and `receipt`, texts [B]. Those of a head with a
    name come after it and a dot.

    Args:
        found, decided: see write_json.

    Raises:
        OutputNotFinite: an interval is not finite.
    """
    arrays: dict[str, Any] = {"model": model.name, "version": model.version}
    if wanted.id is not None:
        arrays["id"] = wanted.id
    for selection in wanted.selections:
        of_head = _arrays(selection, selection.head.own(found), wanted, model, decided)
        arrays |= {selection.head.graph_name(name): values for name, values in of_head.items()}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _arrays(
    selection: OutputSelection, found: Arrays, wanted: Wanted, model: Model, decided: Decided
) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    writers = ANSWERS[selection.head.task].npz
    of_rows = _scores(selection, found)
    decisions: list[Decision] | None = None
    for choice in selection.chosen:
        if (write := writers.get(choice)) is not None:
            arrays |= write(selection, found)
        elif choice == "percentiles":
            places = derived.percentiles(selection, of_rows) or {}
            arrays |= {f"percentiles.{score}": values for score, values in places.items()}
        elif choice == "decision":
            decisions = derived.decisions(selection, of_rows, decided)
            if decisions is not None:
                arrays["decision"] = [decision.action for decision in decisions]
        elif choice == "receipt":
            arrays[choice] = _issue(selection, found, of_rows, wanted, model, decisions)
        else:
            arrays[choice] = found[choice]
    return arrays


def write_png(wanted: Wanted, model: Model, found: Arrays) -> tuple[bytes, dict[str, str]]:
    """Writes the one chosen map of the one row as a PNG file; also returns a header with what its pixels stand for.

    Raises:
        OutputNotFinite: a value is not finite.
    """
    (selection,) = wanted.selections
    (name,) = selection.chosen
    values = selection.head.own(found)[name][0]
    png, limits = maps.picture(selection, name, values, model, wanted.form)
    return png, {} if limits is None else {RANGE_HEADER: limits.spell()}


def media_type(accept: bytes) -> MediaType:
    """What an Accept header prefers of JSON, arrays and a picture; JSON where it names none of them."""
    if b"npz" not in accept.lower() and b"png" not in accept.lower():  # nearly every request: no parsing
        return JSON
    wanted = weights(accept)
    ours = {kind: weight for kind, weight in wanted.items() if kind in (JSON, NPZ, PNG) and weight > 0}
    best: Any = max(ours, key=lambda kind: ours[kind], default=JSON)  # max returns the first of equals
    return best  # type: ignore[no-any-return]


def also_json(accept: bytes) -> bool:
    """Whether an Accept header takes JSON, too."""
    wanted = weights(accept)
    return any(wanted.get(kind, 0) > 0 for kind in (JSON, "application/*", "*/*"))
