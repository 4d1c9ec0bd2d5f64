"""Tensors that claim more than they hold."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import onnx

from tests.hostile.file import Hostile, changed

_TB = 2**40


def files() -> Iterator[Hostile]:
    def claimed(*dims: int, dtype: int = onnx.TensorProto.FLOAT) -> bytes:
        def change(model: onnx.ModelProto) -> None:
            model.graph.initializer.add(name="claimed", data_type=dtype, dims=dims, raw_data=bytes(4))

        return changed(change)

    fewer = ("the weights of 'claimed' are fewer than its sizes say",)
    yield Hostile("size-terabytes", lambda: claimed(_TB), fewer)
    yield Hostile("size-terabytes-int64", lambda: claimed(_TB, dtype=onnx.TensorProto.INT64), fewer)
    yield Hostile("size-terabytes-int2", lambda: claimed(_TB, dtype=onnx.TensorProto.INT2), fewer)
    yield Hostile("size-overflow-to-0", lambda: claimed(2**31, 2**31, 4), fewer)
    yield Hostile("size-overflow", lambda: claimed(2**62, 2**62, 2**62), fewer)
    yield Hostile("size-negative", lambda: claimed(-1), fewer)
    yield Hostile("size-negative-twice", lambda: claimed(-1, -1), fewer)
    yield Hostile("size-axes", lambda: claimed(*[2] * 100_000), fewer)
    yield Hostile("size-empty-overflow", lambda: claimed(0, 2**62, 2**62), ("",))

    def attribute(model: onnx.ModelProto) -> None:
        node = model.graph.node.add(op_type="Constant", output=["unused"])
        tensor = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
        tensor.CopyFrom(onnx.TensorProto(name="claimed", data_type=1, dims=[_TB], raw_data=bytes(4)))

    yield Hostile("size-attribute", lambda: changed(attribute), fewer)

    def sparse(*dims: int, index: int = 0) -> Callable[[onnx.ModelProto], None]:
        def change(model: onnx.ModelProto) -> None:
            values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "weight")
            indices = onnx.numpy_helper.from_array(np.array([index]), "at")
            (old,) = (tensor for tensor in model.graph.initializer if tensor.name == "weight")
            model.graph.initializer.remove(old)
            model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, dims))

        return change

    for name, dims, index in (
        ("terabytes", (_TB,), 0),
        ("gigabytes", (2**20, 2**12), 0),
        ("overflow", (2**62, 4, 4), 0),
        ("negative", (-1, 9), 0),
        ("outside", (6, 9), 10**12),
        ("before", (6, 9), -(10**9)),
    ):
        reasons = ("took more than", "not a valid ONNX graph", "onnxruntime cannot load it", "its first run")
        yield Hostile(f"sparse-{name}", partial(changed, sparse(*dims, index=index)), reasons)
