"""An inference request: JSON and, if a header gives its length, tensors as bytes after it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.api import json_arrays
from app.api.json_errors import NOT_JSON, malformed, place
from app.api.marks import complete
from app.api.v2 import tensors
from app.api.v2.infer_request import (
    InferInput,
    InferOutput,
    InferParameters,
    InferRequest,
    InputParameters,
    OutputParameters,
)
from app.contract.signature import Port, Signature
from app.engine.bare_model import Servable
from app.errors import InvalidInput

Parameters = dict[str, str | bool | int | float | None]
_Kind = TypeVar("_Kind", InferParameters, InputParameters, OutputParameters)

_MOST_ELEMENTS = 2**59  # more, and NumPy raises; it counts an axis of size 0 as 1
_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")
_RESERVED = "triton_"  # Triton refuses these names, too
_LONGEST = 4096  # bytes of a shape, or of parameters
_SHARED_MEMORY = "shared_memory_region"


@dataclass(frozen=True)
class InputTensor:
    """An input whose values are still unread."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: msgspec.Raw | memoryview
    """JSON or bytes."""


@dataclass(frozen=True)
class RequestedOutput:
    """A requested output and its form."""

    name: str
    binary: bool = False
    classes: int = 0
    """How many of the largest values to answer as classes; 0 for the tensor itself."""


@dataclass(frozen=True)
class Request:
    """A request to a model: inputs still unread, outputs checked."""

    id: str | None
    seconds: float | None
    """How long it may wait, if it says so."""
    inputs: Sequence[InputTensor]
    outputs: Sequence[RequestedOutput]
    unproved: bytes = b""
    """The JSON, if some of its values were passed over unread, so that it may be none."""


_request = msgspec.json.Decoder(InferRequest)
_shape = msgspec.json.Decoder(list[Annotated[int, msgspec.Meta(ge=0)]])
_parameters = msgspec.json.Decoder(Parameters | None)


def read(body: bytes, head: bytes | None, signature: Signature) -> Request:
    """Reads a request from its body.

    Args:
        head: value of the header Inference-Header-Content-Length.

    Raises:
        MalformedBody: the head is not JSON.
        InvalidInput: a part breaks the protocol or the signature.
    """
    size = len(body)
    if head is not None:
        # of the body as decompressed, which is what clients count
        if not head.isdigit() or len(head) > 18 or int(head) > len(body):
            raise InvalidInput(
                f"expected a whole number from 0 to {len(body)}, the length of the body",
                "Inference-Header-Content-Length",
            )
        size = int(head)
        if size == 0:
            return _raw(body, signature)
    text = body[:size]
    quick = _decode_around_data(text)
    request = quick or _decode(text)
    parameters = _read_parameters(request.parameters, "parameters")
    refuse_sequences(parameters)
    known = typed(InferParameters, parameters, "parameters")
    return Request(
        id=request.id,
        seconds=known.timeout / 1e6 if known.timeout else None,  # 0 is no limit of its own
        inputs=_split(request.inputs, memoryview(body)[size:]),  # a view: tensors are not copied
        outputs=_outputs(request.outputs, bool(known.binary_data_output), signature),
        unproved=b"" if quick is None else text,
    )


def _decode_around_data(text: bytes) -> InferRequest | None:
    """Decodes a request but for the values of an input, which may turn out not to be JSON; None if that is not so
    simple, or something is wrong."""
    found = json_arrays.decode_around(_request, text, b"data")
    if found is None:
        return None
    request, data = found
    for given in request.inputs:
        if json_arrays.is_cut(given.data):
            given.data = data
            return request
    return None


def _decode(text: bytes) -> InferRequest:
    try:
        return _request.decode(text)
    except msgspec.ValidationError as error:
        message, field = place(error)
        raise InvalidInput(message, field or None) from None
    except NOT_JSON as error:
        raise malformed(text, error) from None


def _read_shape(raw: msgspec.Raw, field: str) -> list[int]:
    if len(memoryview(raw)) > _LONGEST:
        raise InvalidInput("expected fewer axes", field)
    try:
        return _shape.decode(raw)
    except msgspec.ValidationError as error:
        message, where = place(error)
        raise InvalidInput(message, field + where) from None
    except NOT_JSON as error:
        raise InvalidInput(str(error), field) from None


def _read_parameters(raw: msgspec.Raw | msgspec.UnsetType, field: str) -> Parameters:
    if not isinstance(raw, msgspec.Raw):
        return {}
    if len(memoryview(raw)) > _LONGEST:
        raise InvalidInput("expected fewer parameters", field)
    try:
        found = _parameters.decode(raw) or {}
    except msgspec.ValidationError as error:
        message, where = place(error)
        raise InvalidInput(message, field + where) from None
    except NOT_JSON as error:
        raise InvalidInput(str(error), field) from None
    for name in found:
        refuse_reserved(name, field)
    return found


def refuse_reserved(name: str, field: str) -> None:
    """Refuses the names of parameters that Triton refuses, too."""
    if name.startswith(_RESERVED):
        raise InvalidInput(f"names that begin with {_RESERVED} are reserved", f"{field}.{name[:100]}")


def refuse_sequences(parameters: Parameters) -> None:
    """Refuses a request that is one of a sequence."""
    for name in _SEQUENCES:
        if parameters.get(name):
            raise InvalidInput("no model here keeps anything from one request to the next", f"parameters.{name}")


def refuse_shared_memory(parameters: Parameters, field: str) -> None:
    """Refuses a tensor that lies in the client's memory."""
    if _SHARED_MEMORY in parameters:
        raise InvalidInput("shared memory is not supported", field)


def _raw(body: bytes, signature: Signature) -> Request:
    """Reads a body that is nothing but the bytes of the only input; its length gives the size of the open axis."""
    if len(signature.inputs) != 1:
        raise InvalidInput(f"only a model with one input takes it as the whole body; this has {len(signature.inputs)}")
    port = signature.inputs[0]
    data = body
    if port.dtype == "str":
        data = len(body).to_bytes(4, "little") + body  # the whole body is one text, sent without its length
        shape = [size if isinstance(size, int) else 1 for size in port.sizes]
    else:
        row = math.prod(size for size in port.sizes if isinstance(size, int)) * np.dtype(port.dtype).itemsize
        opened = [size for size in port.sizes if not isinstance(size, int)]
        if len(opened) > 1:
            raise InvalidInput(f"only an input with one open axis is taken as the whole body, not {_spell(port)}")
        if row == 0 or not body or len(body) % row or (not opened and len(body) != row):
            times = "some times " if opened else ""
            raise InvalidInput(f"expected {times}{row} bytes for {_spell(port)}, got {len(body)}")
        shape = [size if isinstance(size, int) else len(body) // row for size in port.sizes]
    given = InputTensor(port.name, tensors.DATATYPES[port.dtype], shape, memoryview(data))
    outputs = [RequestedOutput(output.name, binary=True) for output in signature.outputs]
    return Request(id=None, seconds=None, inputs=[given], outputs=outputs)


def typed(kind: type[_Kind], parameters: Parameters, field: str) -> _Kind:
    """The parameters that have a meaning here.

    Raises:
        InvalidInput: one has another type.
    """
    try:
        return msgspec.convert(parameters, kind)
    except msgspec.ValidationError as error:
        message, where = place(error)
        raise InvalidInput(message, f"{field}.{where}") from None


def _split(inputs: Sequence[InferInput], data: memoryview) -> list[InputTensor]:
    """Gives each input its bytes, in the order of the inputs."""
    found: list[InputTensor] = []
    at = 0
    for index, given in enumerate(inputs):
        field = f"inputs[{index}]"
        parameters = _read_parameters(given.parameters, f"{field}.parameters")
        if _SHARED_MEMORY in parameters:  # without this the message would be about missing data
            raise InvalidInput("shared memory is not supported; send data or binary_data_size", field)
        shape = _read_shape(given.shape, f"{field}.shape")
        size = typed(InputParameters, parameters, f"{field}.parameters").binary_data_size
        text = None if _is_absent(given.data) else given.data
        if isinstance(text, msgspec.Raw) and size is None:
            found.append(InputTensor(given.name, given.datatype, shape, text))
            continue
        if size is None or text is not None:
            raise InvalidInput("expected either data or the parameter binary_data_size", field)
        if at + size > len(data):
            left = len(data) - at
            raise InvalidInput(f"expected {size} bytes after the JSON, {left} are left", field)
        found.append(InputTensor(given.name, given.datatype, shape, data[at : at + size]))
        at += size
    if at != len(data):
        raise InvalidInput(f"{len(data) - at} bytes after the JSON belong to no input")
    return found


def _is_absent(data: msgspec.Raw | msgspec.UnsetType) -> bool:
    # the length first: bytes would copy a tensor
    return not isinstance(data, msgspec.Raw) or (len(memoryview(data)) == 4 and bytes(data) == b"null")


def _outputs(outputs: Sequence[InferOutput] | None, binary: bool, signature: Signature) -> list[RequestedOutput]:
    if not outputs:
        return [RequestedOutput(port.name, binary) for port in signature.outputs]
    check_outputs([output.name for output in outputs], signature)
    requested: list[RequestedOutput] = []
    for index, output in enumerate(outputs):
        field = f"outputs[{index}]"
        parameters = _read_parameters(output.parameters, f"{field}.parameters")
        refuse_shared_memory(parameters, field)
        form = typed(OutputParameters, parameters, f"{field}.parameters")
        own = binary if form.binary_data is None else form.binary_data  # the output's own word wins
        requested.append(RequestedOutput(output.name, own, form.classification or 0))
    return requested


def check_outputs(names: Sequence[str], signature: Signature) -> None:
    """Checks that the model has each output that is asked for, and that none is asked for twice.

    Raises:
        InvalidInput: one is unknown or repeated.
    """
    there = [port.name for port in signature.outputs]
    for index, name in enumerate(names):
        if name not in there:
            raise InvalidInput(
                f"unknown output {name[:100]!r}; there are: {', '.join(there)}", f"outputs[{index}].name"
            )
        if name in names[:index]:
            raise InvalidInput(f"{name!r} is asked for more than once", f"outputs[{index}].name")


def arrays(request: Request, model: Servable, most: int) -> dict[str, NDArray[Any]]:
    """Reads the inputs of a model by name, each checked against the signature and, if there is one, the contract.

    Args:
        most: most rows, for a model with a contract.

    Raises:
        MalformedBody: the values are not JSON.
        InvalidInput: an input is missing, unknown or repeated, has another datatype or shape, or invalid values.
    """
    try:
        return _arrays(request, model, most)
    except InvalidInput:
        if request.unproved:
            _decode(request.unproved)
        raise


def _arrays(request: Request, model: Servable, most: int) -> dict[str, NDArray[Any]]:
    ports = {port.name: port for port in model.signature.inputs}
    found: dict[str, NDArray[Any]] = {}
    sizes: dict[str, int] = {}
    for index, given in enumerate(request.inputs):
        field = f"inputs[{index}]"
        port = ports.get(given.name)
        if port is None:
            raise InvalidInput(f"unknown input {given.name[:100]!r}; there are: {', '.join(ports)}", f"{field}.name")
        if given.name in found:
            raise InvalidInput(f"{given.name!r} is there more than once", f"{field}.name")
        if given.datatype != (expected := tensors.DATATYPES[port.dtype]):
            raise InvalidInput(f"expected {expected}, got {given.datatype[:20]!r}", f"{field}.datatype")
        _check_shape(given.shape, port, sizes, f"{field}.shape")
        declared = None
        if model.contract is not None:
            declared = next(tensor for tensor in model.contract.inputs if tensor.name == given.name)
            if not 1 <= (rows := given.shape[0]) <= most:
                raise InvalidInput(f"expected 1 to {most} rows (MASKSEMBLES_MAX_ROWS), got {rows}", f"{field}.shape")
            if misfit := model.contract.misfit(declared, given.shape[1:]):
                raise InvalidInput(misfit[1], f"{field}.shape[{misfit[0]}]")
        # a tensor without elements passes any check of its bytes, whatever its other axes are
        if math.prod(max(1, size) for size in given.shape) > _MOST_ELEMENTS:
            raise InvalidInput("expected fewer elements", f"{field}.shape")
        if isinstance(given.data, memoryview):
            found[port.name] = tensors.from_bytes(given.data, port, given.shape, field)
        else:
            found[port.name] = tensors.from_json(given.data, port, given.shape, f"{field}.data")
        if declared is not None:
            found[port.name] = json_arrays.check(found[port.name], declared, f"{field}.data")
    if model.contract is not None:
        found = complete(model.contract, found)
    if missing := ports.keys() - found.keys():
        raise InvalidInput(f"expected the input {sorted(missing)[0]!r}, too", "inputs")
    return found


def _check_shape(shape: Sequence[int], port: Port, sizes: dict[str, int], field: str) -> None:
    """Checks that fixed axes have their declared size, and that axes of one name agree across inputs."""
    fits = len(shape) == len(port.sizes)
    for size, declared in zip(shape, port.sizes):
        expected = sizes.setdefault(declared, size) if isinstance(declared, str) else declared
        fits = fits and expected in (None, size)
    if not fits:
        raise InvalidInput(f"expected the shape {_spell(port)}, got {list(shape)}"[:300], field)


def _spell(port: Port) -> str:
    return "[" + ", ".join(str(-1 if size is None else size) for size in port.sizes) + "]"
