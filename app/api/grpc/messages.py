"""The messages of the protocol, made from `proto/inference.proto` as `make proto` compiled it.

In a pool of their own: protobuf's common one takes each name once, and a process may also hold Triton's client.
"""

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"
COMPILED = Path(__file__).parent / "proto" / "inference.binpb"

POOL = DescriptorPool()
"""Knows this protocol alone."""
for _file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file:
    POOL.Add(_file)

METHODS = POOL.FindServiceByName(SERVICE).methods_by_name
"""Descriptors of the service's RPCs, by name."""


def message(name: str) -> Any:
    """The class of a message, by its name in the package."""
    return GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))


InferRequest = message("ModelInferRequest")
InferResponse = message("ModelInferResponse")
