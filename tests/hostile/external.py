"""Tensors whose data lies elsewhere, in every place that a tensor may have."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import onnx

from tests.hostile.file import Hostile, changed


def _external(tensor: Any, *, location: str = "/etc/passwd", default: bool = False) -> None:
    tensor.name = tensor.name or "hidden"
    tensor.external_data.add(key="location", value=location)
    if not default:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL


def _in_a_node(model: onnx.ModelProto, field: str) -> Any:
    return getattr(model.graph.node.add(op_type="Constant").attribute.add(name="value"), field)


def _subgraph(model: onnx.ModelProto) -> Any:
    return _in_a_node(model, "g")


def files() -> Iterator[Hostile]:
    def initializer(model: onnx.ModelProto, location: str, default: bool = False) -> None:
        _external(model.graph.initializer[0], location=location, default=default)

    places: dict[str, Callable[[onnx.ModelProto], None]] = {
        "absolute": lambda model: initializer(model, "/etc/passwd"),
        "parent": lambda model: initializer(model, "../../../secret"),
        "link": lambda model: initializer(model, "a/../../b"),
        "memory": lambda model: initializer(model, "*/_ORT_MEM_ADDR_/*"),
        "beside": lambda model: initializer(model, "model.onnx"),
        "default": lambda model: initializer(model, "/etc/passwd", default=True),
        "attribute": lambda model: _external(_in_a_node(model, "t")),
        "attributes": lambda model: _external(_in_a_node(model, "tensors").add()),
        "sparse-values": lambda model: _external(model.graph.sparse_initializer.add().values),
        "sparse-indices": lambda model: _external(model.graph.sparse_initializer.add().indices),
        "sparse-attribute": lambda model: _external(_in_a_node(model, "sparse_tensor").values),
        "sparse-attributes": lambda model: _external(_in_a_node(model, "sparse_tensors").add().indices),
        "subgraph": lambda model: _external(_subgraph(model).initializer.add()),
        "subgraphs": lambda model: _external(_in_a_node(model, "graphs").add().initializer.add()),
        "subgraph-sparse": lambda model: _external(_subgraph(model).sparse_initializer.add().values),
        "subgraph-node": lambda model: _external(_subgraph(model).node.add().attribute.add().g.initializer.add()),
        "function": lambda model: _external(model.functions.add(name="f").node.add().attribute.add().t),
        "function-default": lambda model: _external(model.functions.add(name="f").attribute_proto.add().t),
        "function-subgraph": lambda model: _external(
            model.functions.add(name="f").attribute_proto.add().g.node.add().attribute.add().t
        ),
        "training": lambda model: _external(model.training_info.add().initialization.initializer.add()),
    }
    for name, change in places.items():
        yield Hostile(f"external-{name}", partial(changed, change), ("lie in an external file",))
