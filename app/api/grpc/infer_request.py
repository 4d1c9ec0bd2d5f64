"""A request to infer as a message of the protocol, read into the one that v2 over REST has, too."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.api.grpc import fields
from app.api.request_ids import MAX_ID_LENGTH
from app.api.v2 import request as requests
from app.api.v2.infer_request import InferParameters, OutputParameters
from app.api.v2.request import InputTensor, Parameters, Request, RequestedOutput
from app.contract.signature import Signature
from app.errors import InvalidInput

_CONTENTS = {
    "BOOL": ("bool_contents", "bool"),
    "UINT8": ("uint_contents", "uint8"),
    "UINT16": ("uint_contents", "uint16"),
    "UINT32": ("uint_contents", "uint32"),
    "UINT64": ("uint64_contents", "uint64"),
    "INT8": ("int_contents", "int8"),
    "INT16": ("int_contents", "int16"),
    "INT32": ("int_contents", "int32"),
    "INT64": ("int64_contents", "int64"),
    "FP32": ("fp32_contents", "float32"),
    "FP64": ("fp64_contents", "float64"),
    "BYTES": ("bytes_contents", "O"),
}
"""For each datatype the field of the contents that holds its values, and their dtype. FP16 has none."""


class InferMessage:
    """A message whose tensors are still unread.

    Raises:
        MalformedBody, InvalidInput: it is no such message, or too much of one.
    """

    def __init__(self, body: bytes) -> None:
        self.head, self._raw = fields.split(body)

    @property
    def typed(self) -> bool:
        """Whether the values come one by one, and not as bytes."""
        return not self._raw

    def read(self, signature: Signature) -> Request:
        """The request that the message makes to a model.

        Raises:
            InvalidInput: a part breaks the protocol or the signature.
        """
        head = self.head
        if len(head.id) > MAX_ID_LENGTH:
            raise InvalidInput(f"expected at most {MAX_ID_LENGTH} characters", "id")
        parameters = _parameters(head.parameters, "parameters")
        requests.refuse_sequences(parameters)
        timeout = requests.typed(InferParameters, parameters, "parameters").timeout
        return Request(
            id=head.id or None,
            seconds=timeout / 1e6 if timeout else None,  # 0 is no limit of its own
            inputs=self._inputs(),
            outputs=_outputs(head.outputs, signature),
        )

    def _inputs(self) -> list[InputTensor]:
        if self._raw and len(self._raw) != len(self.head.inputs):
            raise InvalidInput(
                f"expected one for each of the {len(self.head.inputs)} inputs, got {len(self._raw)}",
                "raw_input_contents",
            )
        found: list[InputTensor] = []
        for index, given in enumerate(self.head.inputs):
            field = f"inputs[{index}]"
            requests.refuse_shared_memory(_parameters(given.parameters, f"{field}.parameters"), field)
            shape = list(given.shape)
            if any(size < 0 for size in shape):
                raise InvalidInput("expected sizes of 0 or more", f"{field}.shape")
            if self._raw and given.HasField("contents"):
                raise InvalidInput("expected either contents or raw_input_contents", f"{field}.contents")
            data = self._raw[index] if self._raw else _packed(given, f"{field}.contents")
            found.append(InputTensor(given.name, given.datatype, shape, data))
        return found


def _packed(given: Any, field: str) -> memoryview:
    """The values of an input as bytes, as they would come in raw_input_contents."""
    if given.datatype == "FP16":
        raise InvalidInput("FP16 has no contents; send raw_input_contents", field)
    if given.datatype not in _CONTENTS:
        raise InvalidInput(f"unknown datatype {given.datatype[:20]!r}", field.replace(".contents", ".datatype"))
    name, dtype = _CONTENTS[given.datatype]
    wrong = [other.name for other, _ in given.contents.ListFields() if other.name != name]
    if wrong:
        raise InvalidInput(f"expected the values of {given.datatype} in {name}, got {wrong[0]}", field)
    values: Sequence[Any] = getattr(given.contents, name)
    if dtype == "O":
        return memoryview(b"".join(part for text in values for part in (len(text).to_bytes(4, "little"), text)))
    found = np.array(values, dtype=None if values else dtype)  # as wide as the field: a cast would wrap around
    if found.dtype.kind in "iu" and found.size:
        limits = np.iinfo(dtype)
        if found.min() < limits.min or found.max() > limits.max:
            raise InvalidInput(f"expected {given.datatype}, {limits.min} to {limits.max}", f"{field}.{name}")
    return memoryview(found.astype(np.dtype(dtype).newbyteorder("<")).tobytes())


def _outputs(outputs: Sequence[Any], signature: Signature) -> list[RequestedOutput]:
    names = [output.name for output in outputs]
    requests.check_outputs(names, signature)
    if not names:
        return [RequestedOutput(port.name, binary=True) for port in signature.outputs]
    found: list[RequestedOutput] = []
    for index, output in enumerate(outputs):
        field = f"outputs[{index}]"
        parameters = _parameters(output.parameters, f"{field}.parameters")
        requests.refuse_shared_memory(parameters, field)
        classes = requests.typed(OutputParameters, parameters, f"{field}.parameters").classification or 0
        found.append(RequestedOutput(output.name, binary=True, classes=classes))
    return found


def _parameters(given: Mapping[str, Any], field: str) -> Parameters:
    found: Parameters = {}
    for name, value in given.items():
        requests.refuse_reserved(name, field)
        chosen = value.WhichOneof("parameter_choice")
        found[name] = getattr(value, chosen) if chosen else None
    return found
