"""Reads model files with `onnx` before they are trusted, and loads them once.

Runs only as a child process, `python -m app.engine.verifier_child DEVICE`. It reads paths from standard input, one JSON
string a line, each after the answer to the one before, which is a line of JSON. Each file is read in a fork of its own.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from app.contract import signature
from app.contract.agreement import GraphTensor, check_agreement
from app.contract.reader import ContractError
from app.contract.reader import read as read_contract
from app.contract.repository import METADATA_KEY
from app.contract.schema import Contract
from app.engine import model_file
from app.engine.confinement import Limits, confine
from app.engine.graph_tensors import claims_too_much, nodes, tensors
from app.engine.memory_size import memory_size
from app.engine.reason import reason
from app.engine.rehearsal import rehearse
from app.engine.session import is_out_of_memory
from app.failures import FileUnreadable, ModelRejected

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # operators of any other need a library of their own
_DTYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.BOOL: "bool",
}
_BARE_DTYPES = {
    **_DTYPES,
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.UINT16: "uint16",
    onnx.TensorProto.UINT32: "uint32",
    onnx.TensorProto.UINT64: "uint64",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.STRING: "str",
}
_MOST_CHARACTERS = 4 * 2**20  # of names and sizes of inputs and outputs
# What a file may take: a floor, and more for each of its bytes, which are held several times at once.
_MEMORY, _MEMORY_PER_BYTE = 4 * 2**30, 8
_CPU_SECONDS, _BYTES_PER_CPU_SECOND = 30, 10 * 2**20
_SECONDS = 120
_REASONS = ("rejected", "unreadable")
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def examine(content: bytes) -> dict[str, str]:
    """What a file declares: its `contract` as JSON if it has one and keeps it, otherwise its `signature`.

    Raises:
        ModelRejected: the file is damaged, has external data or unknown operators, or breaks its contract; or it has no
            contract, and an input or output is no tensor of a known type and rank.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, undocumented
        raise ModelRejected(f"not an ONNX file, or truncated ({error})") from error
    if not model.graph.node:  # protobuf takes an empty file for an empty message
        raise ModelRejected("not an ONNX file, or truncated (it has no graph)")
    for tensor in tensors(model):
        # before to_array, which would open the path that the file names
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelRejected(f"the weights of {tensor.name!r} lie in an external file; they must be inside")
        # before anything makes an array of that size
        if claims_too_much(tensor):
            raise ModelRejected(f"the weights of {tensor.name!r} are fewer than its sizes say: {list(tensor.dims[:8])}")
        if tensor.data_type in _FLOATS and np.isnan(onnx.numpy_helper.to_array(tensor)).any():
            raise ModelRejected(f"the weights of {tensor.name!r} hold NaN")
    domains = {entry.domain for entry in model.opset_import} | {node.domain for node in nodes(model)}
    if unknown := sorted(domains - _DOMAINS):
        raise ModelRejected(f"operators of an unknown domain: {', '.join(unknown)}")
    try:
        onnx.checker.check_model(content)  # not the message, of which it would make another copy
    except onnx.checker.ValidationError as error:
        raise ModelRejected(f"not a valid ONNX graph: {str(error).strip().splitlines()[0]}") from error
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not texts:
        found = _signature(model).model_dump_json()
        if len(found) > _MOST_CHARACTERS:
            raise ModelRejected(f"has no contract, and its inputs and outputs take {len(found)} characters to describe")
        return {"signature": found}
    if len(texts) != 1:
        raise ModelRejected(f"has more than one contract (metadata key {METADATA_KEY!r})")
    try:
        if not isinstance(texts[0], str):  # protobuf gives bytes for what is no UTF-8
            raise ContractError("the contract is not text in UTF-8")
        contract = read_contract(texts[0])
        initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        temperatures = {head.temperature_name: _scalar(initializers, head.temperature_name) for head in contract.heads}
        check_agreement(contract, _describe(_inputs(model)), _describe(model.graph.output), temperatures)
    except ContractError as error:
        raise ModelRejected(f"contract: {error}") from error
    return {"contract": texts[0]}


def _inputs(model: Any) -> list[Any]:
    """The inputs without a default value; before IR version 4 every weight is listed as an input, too."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initializers]


def _signature(model: Any) -> signature.Signature:
    def port(value: Any) -> signature.Port:
        tensor = value.type.tensor_type
        dtype = _BARE_DTYPES.get(tensor.elem_type)
        if not value.type.HasField("tensor_type") or dtype is None or not tensor.HasField("shape"):
            raise ModelRejected(f"has no contract, and {value.name!r} is no tensor of a type and rank that /v2 knows")
        sizes = [
            dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
            for dim in tensor.shape.dim
        ]
        return signature.Port(name=value.name, dtype=dtype, sizes=tuple(sizes))

    given = _inputs(model)
    if not given:
        raise ModelRejected("has no contract, and no inputs")
    return signature.Signature(inputs=tuple(map(port, given)), outputs=tuple(map(port, model.graph.output)))


def _describe(values: Any) -> dict[str, GraphTensor]:
    described: dict[str, GraphTensor] = {}
    for value in values:
        tensor = value.type.tensor_type
        dtype = _DTYPES.get(tensor.elem_type) or onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        described[value.name] = (dtype, sizes)
    return described


def _scalar(initializers: dict[str, Any], name: str) -> float | None:
    tensor = initializers.get(name)
    if tensor is None or tensor.dims or tensor.data_type != onnx.TensorProto.FLOAT:
        return None
    return float(np.asarray(onnx.numpy_helper.to_array(tensor)))


def limits_for(size: int) -> Limits:
    """What verifying a file of so many bytes may take: what an honest one needs many times over."""
    # loading it takes as much again in the service, which needs memory for itself, too
    memory = min(_MEMORY + _MEMORY_PER_BYTE * size, memory_size() // 2)
    return Limits(memory, _CPU_SECONDS + size // _BYTES_PER_CPU_SECOND, _SECONDS)


def verify_file(path: Path, device: Literal["cpu", "cuda"], *, allow_bare: bool) -> dict[str, str]:
    """What a file declares, with its `sha256`; or why it is `rejected`, or is `unreadable` for now.

    Raises:
        MemoryError: the memory did not suffice.
    """
    try:
        content = model_file.read(path)  # once: the digest is that of the bytes that are examined
        found = examine(content)
        declared = _declared(found)
        if allow_bare or not isinstance(declared, signature.Signature):
            rehearse(content, declared, device)
        return {"sha256": hashlib.sha256(content).hexdigest(), **found}
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        return _fault(error)


def _fault(error: Exception) -> dict[str, str]:
    match error:
        case OSError():
            return {"unreadable": f"cannot be read: {error.strerror}"}
        case FileUnreadable():
            return {"unreadable": str(error)}
        case ModelRejected():
            return {"rejected": str(error)}
    return {"rejected": f"cannot be verified: {type(error).__name__}: {error}"}  # whatever it is, the file's fault


def _declared(found: dict[str, str]) -> Contract | signature.Signature:
    if "contract" in found:
        return read_contract(found["contract"])
    return signature.Signature.model_validate_json(found["signature"])


def _answer(path: Path, device: Literal["cpu", "cuda"], allow_bare: bool, guard: int | None) -> dict[str, Any]:
    def work() -> bytes:
        found = verify_file(path, device, allow_bare=allow_bare)
        return json.dumps({key: reason(text) if key in _REASONS else text for key, text in found.items()}).encode()

    try:
        limits = limits_for(model_file.size(path))
    except (OSError, ModelRejected) as error:  # there is nothing to read: no need for a process
        return {**_fault(error), "seconds": 0.0, "peak": 0}
    outcome = confine(work, limits, guard)
    match outcome.ended:
        case None:
            found = json.loads(outcome.output or b"")
        case "memory":
            found = {"rejected": f"took more than {limits.memory // 2**20} MB to verify"}
        case "cpu_seconds":
            found = {"rejected": f"took more than {limits.cpu_seconds} s of a processor to verify"}
        case "seconds":
            found = {"killed": f"took longer than {limits.seconds} s to verify"}
        case how:
            found = {"killed": f"its verifier ended with {how}"}
    return {**found, "seconds": outcome.seconds, "peak": outcome.peak}


def main(device: Literal["cpu", "cuda"] = "cpu", *, allow_bare: bool = False, guard: int | None = None) -> None:
    """Answers each path on stdin with what `verify_file` says or how it was `killed`, the `seconds` that it took and
    its `peak` of memory in bytes.

    Args:
        device: where the files are to run.
        allow_bare: whether to load files without a contract, too.
        guard: see `confine`.
    """
    for line in sys.stdin:
        answer = _answer(Path(json.loads(line)), device, allow_bare, guard)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _, chosen, *bare = sys.argv
    main("cuda" if chosen == "cuda" else "cpu", allow_bare=bool(bare), guard=sys.stdin.fileno())
