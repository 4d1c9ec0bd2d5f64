"""Reads model files with `onnx` before they are trusted.

Only ever run as a child process, `python -m app.engine.verify`: paths come in on standard input, a JSON string in a
line each, and for each a line of JSON goes out. A file that makes the reader crash takes this process with it and not
the service.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from app.contract import naming, schema

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_DTYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.INT64: "int64",
}
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


class Refused(Exception):
    """The file is not fit to be served; the message is the reason."""


def examine(content: bytes) -> str:
    """The contract of a file, as the JSON it holds, when the file keeps it.

    Raises:
        Refused: damaged, with external data, with unknown operators, without contract, or against it.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, undocumented
        raise Refused(f"not an ONNX file, or truncated ({error})") from error
    if not model.graph.node:
        raise Refused("not an ONNX file, or truncated (it has no graph)")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise Refused(f"the weights of {tensor.name!r} lie in an external file; they must be inside")
        if tensor.data_type in _FLOATS and np.isnan(onnx.numpy_helper.to_array(tensor)).any():
            raise Refused(f"the weights of {tensor.name!r} hold NaN")
    domains = {entry.domain for entry in model.opset_import} | {node.domain for node in _nodes(model)}
    if foreign := sorted(domains - _DOMAINS):
        raise Refused(f"operators of an unknown domain: {', '.join(foreign)}")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise Refused(f"not a valid ONNX graph: {str(error).strip().splitlines()[0]}") from error
    texts: list[str] = [entry.value for entry in model.metadata_props if entry.key == naming.METADATA_KEY]
    if len(texts) != 1:
        raise Refused(f"has no contract (metadata key {naming.METADATA_KEY!r})")
    try:
        contract = schema.read(texts[0])
        initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        given = [value for value in model.graph.input if value.name not in initializers]
        schema.check_agreement(contract, _describe(given), _describe(model.graph.output), _temperature(initializers))
    except schema.ContractError as error:
        raise Refused(f"contract: {error}") from error
    return texts[0]


def _describe(values: Any) -> dict[str, schema.GraphTensor]:
    described: dict[str, schema.GraphTensor] = {}
    for value in values:
        tensor = value.type.tensor_type
        dtype = _DTYPES.get(tensor.elem_type) or onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        described[value.name] = (dtype, sizes)
    return described


def _temperature(initializers: dict[str, Any]) -> float | None:
    tensor = initializers.get(naming.TEMPERATURE)
    if tensor is None or tensor.dims or tensor.data_type != onnx.TensorProto.FLOAT:
        return None
    return float(np.asarray(onnx.numpy_helper.to_array(tensor)))


def _nodes(model: Any) -> Iterator[Any]:
    """Every node, those of subgraphs and functions too."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor with data: initializers and attributes, those of subgraphs, functions and sparse ones too."""
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
    """Answers each path on standard input with {"path", "sha256", "contract"} or {"path", "refused"}."""
    for line in sys.stdin:
        path = json.loads(line)
        try:
            if Path(path).exists() and not Path(path).is_file():
                raise Refused("not a regular file")
            content = Path(path).read_bytes()
            answer = {"sha256": hashlib.sha256(content).hexdigest(), "contract": examine(content)}
        except OSError as error:
            answer = {"refused": f"cannot be read: {error.strerror}"}
        except Refused as error:
            answer = {"refused": str(error)}
        except Exception as error:  # a reader that stumbles over a file refuses it
            answer = {"refused": f"cannot be verified: {type(error).__name__}: {error}"[:500]}
        print(json.dumps({"path": path, **answer}), flush=True)


if __name__ == "__main__":
    main()
