"""The responses of /predict: JSON, or arrays in NumPy's format."""

import io
from collections import Counter
from typing import Any

import numpy as np
import orjson

from app.api.accept import weights
from app.api.predict import derived
from app.api.predict.tasks import ANSWERS
from app.api.predict.tasks.task import Arrays, JsonRows, OutputSelection, put
from app.contract.decisions import Action
from app.engine.model import Model

NPZ = "application/x-npz"


def write_json(
    id: str | None, model: Model, selection: OutputSelection, found: Arrays, decided: Counter[Action]
) -> bytes:
    """Writes the response as JSON: one prediction for each row, with the chosen outputs in the menu's order.

    Args:
        decided: see derived.decisions.

    Raises:
        OutputNotFinite: an interval is not finite.
    """
    rows: JsonRows = [{} for _ in next(iter(found.values()))]
    writers = ANSWERS[model.contract.task].json
    for choice in selection.chosen:
        if (write := writers.get(choice)) is not None:
            write(rows, model, selection, found)
        elif choice == "percentiles":
            _put_percentiles(rows, derived.percentiles(model, found))
        elif choice == "decision":
            put(rows, choice, derived.decisions(model, selection, found, decided))
        else:
            put(rows, choice, found[choice])
    answer: dict[str, Any] = {"id": id} if id is not None else {}
    answer["model"] = {
        "name": model.name,
        "version": model.version,
        "task": model.contract.task,
        "method": model.contract.method,
        "num_submodels": model.contract.num_submodels,
    }
    answer["predictions"] = rows
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _put_percentiles(rows: JsonRows, places: Arrays | None) -> None:
    if places is None:
        put(rows, "percentiles", None)
        return
    for row, values in zip(rows, zip(*(column.tolist() for column in places.values()))):
        row["percentiles"] = dict(zip(places, values))


def write_npz(
    id: str | None, model: Model, selection: OutputSelection, found: Arrays, decided: Counter[Action]
) -> bytes:
    """Writes the chosen outputs by name, as the graph gave them, and `model`, `version` and `id` as scalars.

    Derived values have these names: `percentiles.SCORE` [B]; `prediction_set`, booleans [B, K], and
    `prediction_set.coverage`; `row_scores.SCORE` [B]; `intervals` [B, C, 2, D], the lower and upper ends for each
    coverage, and `intervals.coverage` [C]; `decision`, texts [B].

    Args:
        decided: see derived.decisions.

    Raises:
        OutputNotFinite: an interval is not finite.
    """
    arrays: dict[str, Any] = {"model": model.name, "version": model.version}
    if id is not None:
        arrays["id"] = id
    writers = ANSWERS[model.contract.task].npz
    for choice in selection.chosen:
        if (write := writers.get(choice)) is not None:
            arrays |= write(model, selection, found)
        elif choice == "percentiles":
            places = derived.percentiles(model, found) or {}
            arrays |= {f"percentiles.{score}": values for score, values in places.items()}
        elif choice == "decision":
            decisions = derived.decisions(model, selection, found, decided)
            if decisions is not None:
                arrays["decision"] = [decision.action for decision in decisions]
        else:
            arrays[choice] = found[choice]
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def wants_npz(accept: bytes) -> bool:
    """Whether an Accept header names the arrays and does not prefer JSON."""
    if b"npz" not in accept.lower():  # nearly every request: no parsing
        return False
    wanted = weights(accept)
    ours = {kind: weight for kind, weight in wanted.items() if kind in (NPZ, "application/json")}
    best = max(ours, key=lambda kind: ours[kind], default=None)  # max returns the first of equals
    return best == NPZ and ours[NPZ] > 0
