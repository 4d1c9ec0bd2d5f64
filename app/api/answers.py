"""What /predict answers: JSON, or the arrays themselves in NumPy's format."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.api.codecs import SELECTABLE, Asked
from app.api.negotiation import weights
from app.engine.model import Model

NPZ = "application/x-npz"


def write_json(asked: Asked, model: Model, chosen: Sequence[str], found: dict[str, NDArray[Any]]) -> bytes:
    """The answer to a request as JSON: one prediction for each row, with what was chosen in the order of SELECTABLE."""
    labels = model.contract.labels
    rows: list[dict[str, Any]] = [{} for _ in next(iter(found.values()))]
    for choice in SELECTABLE:
        if choice not in chosen:
            continue
        values = found[choice]
        if choice == "prediction":
            for row, index, probabilities in zip(rows, values.tolist(), found["probabilities"]):
                row["label"], row["index"], row["confidence"] = labels[index], index, probabilities[index]
        elif choice == "submodels":
            for row, members, indices in zip(rows, values, values.argmax(axis=-1).tolist()):
                row["submodels"] = [
                    {"label": labels[index], "index": index, "probabilities": probabilities}
                    for index, probabilities in zip(indices, members)
                ]
        else:
            for row, value in zip(rows, values):
                row[choice] = value
    answer: dict[str, Any] = {"id": asked.id} if asked.id is not None else {}
    answer["model"] = {
        "name": model.name,
        "version": model.version,
        "task": model.contract.task,
        "method": model.contract.method,
        "num_submodels": model.contract.num_submodels,
    }
    answer["predictions"] = rows
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def write_npz(asked: Asked, model: Model, chosen: Sequence[str], found: dict[str, NDArray[Any]]) -> bytes:
    """The chosen outputs under their names, as the graph gave them, and `model`, `version` and `id` as scalars."""
    arrays: dict[str, Any] = {"model": model.name, "version": model.version}
    if asked.id is not None:
        arrays["id"] = asked.id
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays, **{name: found[name] for name in SELECTABLE if name in chosen})
    return stream.getvalue()


def wants_npz(accept: bytes) -> bool:
    """Whether a header Accept names the arrays, and does not prefer JSON."""
    if b"npz" not in accept.lower():
        return False
    wanted = weights(accept)
    ours = {kind: weight for kind, weight in wanted.items() if kind in (NPZ, "application/json")}
    best = max(ours, key=lambda kind: ours[kind], default=None)  # the first of equals
    return best == NPZ and ours[NPZ] > 0
