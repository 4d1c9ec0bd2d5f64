"""A model of two inputs and two heads: classes from one, numbers from the other."""

import onnx

from app.contract.schema import Contract
from app.contract.tensor import Tensor
from tests import graphs


def two_heads() -> tuple[onnx.ModelProto, Contract]:
    """An uncalibrated model of 2 submodels: `action`, one of 3 classes, from `scene` [B, 4], and `steering`, 2 numbers,
    from `state` [B, 3]."""
    scene = Tensor(name="input", dtype="float32", shape=("B", 4), unit="feature")
    parts = {"action": graphs.classifier(scene, "abc", 2), "steering": graphs.regressor(aleatoric=True)}
    model, heads, inputs = onnx.ModelProto(), [], []
    for (name, (part, contract)), given in zip(parts.items(), ("scene", "state")):
        prefixed = onnx.compose.add_prefix(part, f"{name}.", rename_edges=True)
        for node in prefixed.graph.node:
            node.input[:] = [given if one == f"{name}.input" else one for one in node.input]
        prefixed.graph.input[0].name = given
        model.MergeFrom(prefixed)
        heads.append(contract.head.model_copy(update={"name": name, "calibration": None}))
        inputs.append(contract.given.model_copy(update={"name": given}))
    del model.opset_import[1:]
    model.graph.name = "two_heads"
    return model, contract.model_copy(update={"inputs": tuple(inputs), "heads": tuple(heads)})
