from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from app.contract.schema import Contract
from models import artefact
from models.artefact import ArtefactError
from models.evaluation.rest_of_graph import as_inputs, rest_of_graph
from tests import artefacts, graphs
from tests.models.evaluation.two_heads import two_heads
from tests.pictures import digits, pictures
from tests.serving import ROOT, VERSIONS

RNG = np.random.default_rng(0)
SHIPPED = ROOT / "models" / "repository"
WHOLE: dict[str, tuple[tuple[onnx.ModelProto, Contract], dict[str, Any]]] = {
    "digits": (artefacts.read(SHIPPED, "digits", 3), {"input": digits()[:20]}),
    "fashion-mnist": (
        artefacts.read(SHIPPED, "fashion-mnist", VERSIONS["fashion-mnist"]),
        {"input": pictures().inputs[:20]},
    ),
    "diabetes": (artefacts.read(SHIPPED, "diabetes", 1), {"input": RNG.normal(0, 1, (20, 10)).astype(np.float32)}),
    "prices": (graphs.regressor(aleatoric=True), {"input": RNG.random((20, 3), np.float32)}),
    "means": (graphs.regressor(aleatoric=False), {"input": RNG.random((20, 3), np.float32)}),
    "both": (two_heads(), {"scene": RNG.random((20, 4), np.float32), "state": RNG.random((20, 3), np.float32)}),
}


def run(model: onnx.ModelProto, outputs: list[str], feeds: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, feeds)))


@pytest.mark.parametrize("name", WHOLE)
def test_the_rest_gives_what_the_whole_graph_gives_at_any_temperature(name: str) -> None:
    (model, contract), feeds = WHOLE[name]
    for head in contract.heads:
        names = [head.graph_name(tensor.name) for tensor in head.outputs]
        if head.has_temperature:
            artefact.set_temperature(model, head, head.temperature)  # as in every file that was written
        answered = head.own(run(model, names, feeds))
        rest, own = rest_of_graph(model, contract, head)
        kept = {output: answered[output] for output in head.task_kind.sufficient(head)}
        if head.has_temperature:
            assert artefact.set_temperature(rest, head, 2.5) == artefact.set_temperature(model, head, 2.5)
        found, expected = run(rest, names, as_inputs(head, kept)), run(model, names, feeds)
        for output in names:
            np.testing.assert_allclose(found[output], expected[output], rtol=2e-6, atol=1e-6)
        assert [one.name for one in own.inputs] == [one.name for one in rest.graph.input]
        assert len(rest.SerializeToString()) < 20_000  # without the weights


def test_a_graph_whose_outputs_need_more_is_refused() -> None:
    model, contract = graphs.regressor(aleatoric=True)
    (node,) = (node for node in model.graph.node if "entropy" in node.output)
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["input", "two"], ["of_input"]))
    node.input[0] = "of_input"
    with pytest.raises(ArtefactError, match=r"follow from 'input' and not from submodel_variances, submodels alone"):
        rest_of_graph(model, contract, contract.head)
