"""The response to an inference request: JSON, followed by the outputs that are sent as bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from numpy.typing import NDArray

from app.api.v2 import tensors
from app.api.v2.request import Request, RequestedOutput
from app.engine.bare_model import Servable
from app.errors import InvalidInput

_CLASS = 64  # a class or a text costs about as much as this many bytes of numbers


def size(request: Request, found: Mapping[str, Any]) -> int:
    """Roughly how many bytes must be written."""
    total = 0
    for requested in request.outputs:
        values = found[requested.name][0] if isinstance(found[requested.name], list) else found[requested.name]
        total += values.size * _CLASS if requested.classes or values.dtype.kind == "O" else values.nbytes
    return total


def write(request: Request, model: Servable, found: Mapping[str, Any]) -> tuple[bytes, int | None]:
    """Writes the body; returns it with the length of its JSON if bytes follow.

    Args:
        found: the outputs by name; for a model without a contract, lists with one each.

    Raises:
        InvalidInput: an output has no representation in the requested form.
        OutputNotFinite: JSON is requested of an output that holds NaN or infinity.
    """
    outputs: list[dict[str, Any]] = []
    data: list[bytes | memoryview] = []
    for requested in request.outputs:
        values = values_of(requested, model, found)
        described: dict[str, Any] = {
            "name": requested.name,
            "datatype": tensors.datatype_of(values),
            "shape": list(values.shape),
        }
        if requested.binary:
            data.append(tensors.to_bytes(values))
            described["parameters"] = {"binary_data_size": len(data[-1])}
        else:
            described["data"] = tensors.to_json(values, requested.name)
        outputs.append(described)
    answer: dict[str, Any] = {"id": request.id} if request.id is not None else {}
    answer |= {"model_name": model.name, "model_version": str(model.version), "outputs": outputs}
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(len(part) for part in data):  # tensors without elements: plain JSON, as Triton answers
        return head, None
    return b"".join([head, *data]), len(head)


def values_of(requested: RequestedOutput, model: Servable, found: Mapping[str, Any]) -> NDArray[Any]:
    """A requested output, or its classes as texts.

    Args:
        found: as `write` takes it.

    Raises:
        InvalidInput: the output cannot be shown as classes.
    """
    values: NDArray[Any] = found[requested.name] if model.contract is not None else found[requested.name][0]
    if requested.classes:
        return tensors.classify(values, requested.classes, _labels(model, requested.name), requested.name)
    return values


def _labels(model: Servable, output: str) -> Sequence[str]:
    """The labels of the values of an output, if it has one for each.

    Raises:
        InvalidInput: it belongs to a head without labels.
    """
    for head in model.contract.heads if model.contract is not None else ():
        if output in {head.graph_name(tensor.name) for tensor in head.outputs} and not head.labels:
            raise InvalidInput(f"{output} is of a head without labels: none of its values are classes", "outputs")
        if output == head.graph_name("probabilities"):
            return head.labels
    return ()
