"""A file that means harm to whoever reads or loads it, and the honest model that most of them are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from app.contract.tensor import Tensor
from tests import graphs

GIVEN = Tensor(name="input", dtype="float32", shape=("B", 6), unit="feature")
_HEADER = '<ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1]>'


@dataclass(frozen=True)
class Hostile:
    """A file, what it does, and what the reason for its rejection says.

    Args:
        name: fit to be a model's.
        content: makes its bytes.
        reasons: the reason holds one of them.
        slow: whether it is found out only when its time is up.
    """

    name: str
    content: Callable[[], bytes]
    reasons: tuple[str, ...]
    slow: bool = False


def honest() -> onnx.ModelProto:
    """What most of them are made of, with its contract."""
    model, contract = graphs.classifier(GIVEN, "abc", submodels=3)
    model.metadata_props.add(key="masksembles", value=contract.model_dump_json())
    return model


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    """The honest model after a change."""
    model = honest()
    change(model)
    return model.SerializeToString()


def poisoned(nodes: str, functions: str = "") -> bytes:
    """The honest model, to whose input the nodes add a `poison`: a float32 of any shape that [B, 6] can be added to."""
    model = honest()
    body = f"g (float[B, 6] input) => (float poison) {{ {nodes} }}"
    found = onnx.parser.parse_model(f"{_HEADER} {body} {functions}")
    first, *others = model.graph.node
    first.op_type = "Add"
    first.input.append("poison")
    del model.graph.node[:]
    model.graph.node.extend([*found.graph.node, first, *others])
    model.functions.extend(found.functions)
    model.opset_import.add(domain="com.microsoft", version=1)
    return model.SerializeToString()
