"""What /predict answers: JSON, or the arrays themselves in NumPy's format."""

import io
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson

from app.api.accept import weights
from app.api.predict import derived
from app.api.predict.derived import Arrays
from app.api.predict.outputs import OutputSelection
from app.contract.decisions import Action
from app.contract.tasks.classification import prediction_set_members
from app.engine.model import Model

NPZ = "application/x-npz"

Rows = list[dict[str, Any]]


def write_json(id: str | None, model: Model, wanted: OutputSelection, found: Arrays, decided: Counter[Action]) -> bytes:
    """The answer to a request as JSON: one prediction for each row, with what was chosen in the order of the menu.

    Args:
        decided: see derived.decisions.

    Raises:
        OutputNotFinite: an interval is not.
    """
    rows: Rows = [{} for _ in next(iter(found.values()))]
    classifies = model.contract.task == "classification"
    for choice in wanted.chosen:
        if choice in _DERIVED:
            _put(rows, choice, _DERIVED[choice](model, wanted, found))
        elif choice == "decision":
            _put(rows, choice, derived.decisions(model, wanted, found, decided))
        elif choice == "prediction" and classifies:
            _put_classes(rows, model.contract.labels, found)
        elif choice == "submodels":
            _put(rows, choice, _submodel_classes(model, found) if classifies else _submodel_numbers(found))
        else:
            _put(rows, choice, found[choice])
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


def _put(rows: Rows, name: str, values: Iterable[Any] | None) -> None:
    """Gives each row its value, or all of them null."""
    for row, value in zip(rows, [None] * len(rows) if values is None else values):
        row[name] = value


def _put_classes(rows: Rows, labels: tuple[str, ...], found: Arrays) -> None:
    for row, index, probabilities in zip(rows, found["prediction"].tolist(), found["probabilities"]):
        row["label"], row["index"], row["confidence"] = labels[index], index, probabilities[index]


def _submodel_classes(model: Model, found: Arrays) -> Iterable[Any]:
    labels, values = model.contract.labels, found["submodels"]
    for members, indices in zip(values, values.argmax(axis=-1).tolist()):
        yield [
            {"label": labels[index], "index": index, "probabilities": probabilities}
            for index, probabilities in zip(indices, members)
        ]


def _submodel_numbers(found: Arrays) -> Iterable[Any]:
    names = {"prediction": "submodels", "variance": "submodel_variances"}
    there = {name: found[output] for name, output in names.items() if output in found}
    for row in zip(*there.values()):
        yield [dict(zip(there, numbers)) for numbers in zip(*row)]


def _percentiles(model: Model, _: OutputSelection, found: Arrays) -> Iterable[Any] | None:
    places = derived.percentiles(model, found)
    if places is None:
        return None
    return [dict(zip(places, row)) for row in zip(*(values.tolist() for values in places.values()))]


def _prediction_set(model: Model, wanted: OutputSelection, found: Arrays) -> Iterable[Any] | None:
    if not wanted.sets:
        return None
    (one,), labels = wanted.sets, model.contract.labels
    order, counts = prediction_set_members(one, found["probabilities"])
    return [
        {"coverage": one.coverage, "labels": [labels[index] for index in classes[:count].tolist()]}
        for classes, count in zip(order, counts.tolist())
    ]


def _intervals(model: Model, wanted: OutputSelection, found: Arrays) -> Iterable[Any] | None:
    if not wanted.intervals:
        return None
    columns = [(one.coverage, *derived.bounds(model, one, found)) for one in wanted.intervals]
    return [
        [{"coverage": coverage, "lower": lower[row], "upper": upper[row]} for coverage, lower, upper in columns]
        for row in range(len(columns[0][1]))
    ]


_DERIVED = {"percentiles": _percentiles, "prediction_set": _prediction_set, "intervals": _intervals}


def write_npz(id: str | None, model: Model, wanted: OutputSelection, found: Arrays, decided: Counter[Action]) -> bytes:
    """The chosen outputs under their names, as the graph gave them, and `model`, `version` and `id` as scalars.

    What follows from them, where JSON has it: `percentiles.SCORE` [B]; `prediction_set`, booleans [B, K], and
    `prediction_set.coverage`; `intervals` [B, C, 2, D], the lower and upper ends for each coverage, and
    `intervals.coverage` [C]; `decision`, texts [B].

    Args:
        decided: see derived.decisions.

    Raises:
        OutputNotFinite: an interval is not.
    """
    arrays: dict[str, Any] = {"model": model.name, "version": model.version}
    if id is not None:
        arrays["id"] = id
    for choice in wanted.chosen:
        if choice == "percentiles":
            places = derived.percentiles(model, found) or {}
            arrays |= {f"percentiles.{score}": values for score, values in places.items()}
        elif choice == "prediction_set":
            for one in wanted.sets:
                order, counts = prediction_set_members(one, found["probabilities"])
                inside = np.empty(order.shape, bool)
                np.put_along_axis(inside, order, np.arange(order.shape[1]) < counts[:, None], axis=1)
                arrays |= {"prediction_set": inside, "prediction_set.coverage": one.coverage}
        elif choice == "intervals":
            if wanted.intervals:
                ends = [np.stack(derived.bounds(model, one, found), axis=1) for one in wanted.intervals]
                arrays["intervals"] = np.stack(ends, axis=1)
                arrays["intervals.coverage"] = [one.coverage for one in wanted.intervals]
        elif choice == "decision":
            decisions = derived.decisions(model, wanted, found, decided)
            if decisions is not None:
                arrays["decision"] = [decision.action for decision in decisions]
        else:
            arrays[choice] = found[choice]
            if choice == "submodels" and "submodel_variances" in found:
                arrays["submodel_variances"] = found["submodel_variances"]
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def wants_npz(accept: bytes) -> bool:
    """Whether a header Accept names the arrays, and does not prefer JSON."""
    if b"npz" not in accept.lower():
        return False
    wanted = weights(accept)
    ours = {kind: weight for kind, weight in wanted.items() if kind in (NPZ, "application/json")}
    best = max(ours, key=lambda kind: ours[kind], default=None)  # the first of equals
    return best == NPZ and ours[NPZ] > 0
