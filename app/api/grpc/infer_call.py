"""Inference of the Open Inference Protocol over gRPC: a message in, a message out, tensors as bytes or as values."""

from dataclasses import replace
from typing import Any

from app.api.body import LARGE, LARGE_BINARY
from app.api.grpc.infer_request import InferMessage
from app.api.grpc.messages import InferResponse
from app.api.inference import Call, Encoded, RequestedModel, Rows
from app.api.v2 import models, response, tensors
from app.api.v2 import request as requests
from app.contract.decisions import Decided
from app.engine.bare_model import Servable
from app.engine.job import Arrays


class RpcInferCall(Call):
    """One request to infer.

    Args:
        max_rows: most rows in a request, for models with a contract.
    """

    _message: InferMessage
    _request: requests.Request

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows

    def target(self) -> RequestedModel | None:
        """Only the message names the model."""
        return None

    def is_heavy(self, body: bytes, model: Servable | None) -> bool:
        """Values one by one and texts take longer to read than bytes."""
        if model is None:
            return len(body) > LARGE_BINARY
        slow = self._message.typed or any(port.dtype == "str" for port in model.signature.inputs)
        return len(body) > (LARGE if slow else LARGE_BINARY)

    def locate(self, body: bytes) -> RequestedModel:
        """Reads the message, but not its tensors."""
        self._message = InferMessage(body)
        head = self._message.head
        return models.named(head.model_name, head.model_version, "model_")

    def decode(self, body: bytes, model: Servable) -> Rows:
        """Reads the tensors."""
        self._request = self._message.read(model.signature)
        del self._message  # it holds the body, and the rows may wait for seconds
        given = requests.arrays(self._request, model, self._max_rows)
        self._request = replace(self._request, inputs=())
        return Rows(given, tuple(output.name for output in self._request.outputs), self._request.seconds)

    def size(self, found: Arrays) -> int:
        """Size of the requested outputs in their requested form."""
        return response.size(self._request, found)

    def encode(self, model: Servable, found: Arrays, decided: Decided) -> Encoded:
        """All outputs as bytes, as Triton answers."""
        message: Any = InferResponse(model_name=model.name, model_version=str(model.version), id=self._request.id or "")
        for output in self._request.outputs:
            values = response.values_of(output, model, found)
            message.outputs.add(name=output.name, datatype=tensors.datatype_of(values), shape=values.shape)
            message.raw_output_contents.append(bytes(tensors.to_bytes(values)))
        return Encoded(message.SerializeToString(), "application/grpc")
