"""Where they hide, see tests/hostile/external.py; here, what is made of what was found."""

import onnx
import pytest

from app.engine.graph_tensors import claims_too_much, nodes, tensors
from tests.hostile.file import honest

Kind = onnx.TensorProto


def test_every_part_is_found_once() -> None:
    model = honest()
    named = [tensor.name for tensor in tensors(model) if tensor.name]
    assert sorted(named) == sorted(tensor.name for tensor in model.graph.initializer)
    assert sorted(node.op_type for node in nodes(model)) == sorted(node.op_type for node in model.graph.node)


def test_nodes_of_subgraphs_functions_and_training_are_found() -> None:
    model = onnx.ModelProto()
    model.graph.node.add(op_type="A").attribute.add().g.node.add(op_type="B").attribute.add().graphs.add().node.add(
        op_type="C"
    )
    function = model.functions.add()
    function.node.add(op_type="D").attribute.add().g.node.add(op_type="E")
    function.attribute_proto.add().g.node.add(op_type="F")
    model.training_info.add().initialization.node.add(op_type="G")
    model.training_info.add().algorithm.node.add(op_type="H")
    assert sorted(node.op_type for node in nodes(model)) == list("ABCDEFGH")


@pytest.mark.parametrize(
    ("kind", "elements"),
    [(Kind.INT2, 4000), (Kind.INT4, 2000), (Kind.UINT8, 1000), (Kind.FLOAT, 250), (Kind.DOUBLE, 125)],
)
def test_elements_of_every_size_may_fill_their_bytes(kind: int, elements: int) -> None:
    tensor = onnx.TensorProto(data_type=kind, dims=[elements], raw_data=bytes(1000))
    assert not claims_too_much(tensor)
    tensor.dims[:] = [5000]
    assert claims_too_much(tensor)


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ([], False),
        ([0], False),
        ([0, 2**62], False),
        ([1], False),
        ([-1], True),
        ([2**32, 2**32], True),
        ([4, -1], True),
    ],
)
def test_sizes_are_held_against_the_bytes(dims: list[int], expected: bool) -> None:
    assert claims_too_much(onnx.TensorProto(data_type=Kind.FLOAT, dims=dims, float_data=[1.0])) is expected


def test_a_message_that_is_not_set_claims_nothing() -> None:
    assert not claims_too_much(onnx.AttributeProto().t)
