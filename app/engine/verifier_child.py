"""Reads model files with `onnx` before they are trusted.

Runs only as a child process, `python -m app.engine.verifier_child`. It reads paths from standard input, one JSON string
a line, and writes a line of JSON for each. A file that crashes the reader takes down this process, not the service.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from app.contract import signature
from app.contract.agreement import GraphTensor, check_agreement
from app.contract.reader import ContractError
from app.contract.reader import read as read_contract
from app.contract.repository import METADATA_KEY, TEMPERATURE

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # operators of any other need a library of their own
_DTYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT64: "int64",
}
_BARE_DTYPES = {
    **_DTYPES,
    onnx.TensorProto.BOOL: "bool",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.UINT16: "uint16",
    onnx.TensorProto.UINT32: "uint32",
    onnx.TensorProto.UINT64: "uint64",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.STRING: "str",
}
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


class FileRejected(Exception):
    """The file is not fit to be served; the message is the reason."""


def examine(content: bytes) -> dict[str, str]:
    """What a file declares: its `contract` as JSON if it has one and keeps it, otherwise its `signature`.

    Raises:
        FileRejected: the file is damaged, has external data or unknown operators, or breaks its contract; or it has no
            contract, and an input or output is no tensor of a known type and rank.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, undocumented
        raise FileRejected(f"not an ONNX file, or truncated ({error})") from error
    if not model.graph.node:  # protobuf takes an empty file for an empty message
        raise FileRejected("not an ONNX file, or truncated (it has no graph)")
    for tensor in _tensors(model):
        # before to_array, which would open the path that the file names
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise FileRejected(f"the weights of {tensor.name!r} lie in an external file; they must be inside")
        if tensor.data_type in _FLOATS and np.isnan(onnx.numpy_helper.to_array(tensor)).any():
            raise FileRejected(f"the weights of {tensor.name!r} hold NaN")
    domains = {entry.domain for entry in model.opset_import} | {node.domain for node in _nodes(model)}
    if unknown := sorted(domains - _DOMAINS):
        raise FileRejected(f"operators of an unknown domain: {', '.join(unknown)}")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise FileRejected(f"not a valid ONNX graph: {str(error).strip().splitlines()[0]}") from error
    texts: list[str] = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not texts:
        return {"signature": _signature(model).model_dump_json()}
    if len(texts) != 1:
        raise FileRejected(f"has more than one contract (metadata key {METADATA_KEY!r})")
    try:
        contract = read_contract(texts[0])
        initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        given = _inputs(model)
        check_agreement(contract, _describe(given), _describe(model.graph.output), _temperature(initializers))
    except ContractError as error:
        raise FileRejected(f"contract: {error}") from error
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
            raise FileRejected(f"has no contract, and {value.name!r} is no tensor of a type and rank that /v2 knows")
        sizes = [
            dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
            for dim in tensor.shape.dim
        ]
        return signature.Port(name=value.name, dtype=dtype, sizes=tuple(sizes))

    given = _inputs(model)
    if not given:
        raise FileRejected("has no contract, and no inputs")
    return signature.Signature(inputs=tuple(map(port, given)), outputs=tuple(map(port, model.graph.output)))


def _describe(values: Any) -> dict[str, GraphTensor]:
    described: dict[str, GraphTensor] = {}
    for value in values:
        tensor = value.type.tensor_type
        dtype = _DTYPES.get(tensor.elem_type) or onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        described[value.name] = (dtype, sizes)
    return described


def _temperature(initializers: dict[str, Any]) -> float | None:
    tensor = initializers.get(TEMPERATURE)
    if tensor is None or tensor.dims or tensor.data_type != onnx.TensorProto.FLOAT:
        return None
    return float(np.asarray(onnx.numpy_helper.to_array(tensor)))


def _nodes(model: Any) -> Iterator[Any]:
    """Every node, including those of subgraphs and functions."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:  # whatever its type says: protobuf gives empty messages for unset fields
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor with data: initializers and attributes, also sparse ones and those of subgraphs and functions."""
    graphs = [model.graph]
    for node in _nodes(model):
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [attribute.g, *attribute.graphs]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def main() -> None:
    """Answers each path on stdin with {"path", "sha256", "contract" or "signature"}, {"path", "rejected"} or {"path",
    "unreadable"}."""
    for line in sys.stdin:
        path = json.loads(line)
        try:
            if Path(path).exists() and not Path(path).is_file():  # reading a pipe may block for ever
                raise FileRejected("not a regular file")
            content = Path(path).read_bytes()  # once: the digest is that of the bytes that are examined
            answer = {"sha256": hashlib.sha256(content).hexdigest(), **examine(content)}
        except OSError as error:
            answer = {"unreadable": f"cannot be read: {error.strerror}"}
        except FileRejected as error:
            answer = {"rejected": str(error)}
        except Exception as error:  # whatever a reader raises is the file's fault
            answer = {"rejected": f"cannot be verified: {type(error).__name__}: {error}"[:500]}
        print(json.dumps({"path": path, **answer}), flush=True)  # a crash on the next file must not take it along


if __name__ == "__main__":
    main()
