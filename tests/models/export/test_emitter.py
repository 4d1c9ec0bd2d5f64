import torch

from models.export.emitter import Emitter

_aten = torch.ops.aten


def test_the_same_operation_on_the_same_values_is_written_once() -> None:
    emitter = Emitter({})
    x = emitter.graph.placeholder("x")
    assert emitter.call(_aten.mul.Tensor, x, 2) is emitter.call(_aten.mul.Tensor, x, 2)
    assert emitter.call(_aten.mul.Tensor, x, 2) is not emitter.call(_aten.mul.Tensor, x, 2.0)
    assert emitter.call(_aten.sum.dim_IntList, x, [1]) is not emitter.call(_aten.sum.dim_IntList, x, [True])


def test_equal_constants_are_stored_once() -> None:
    emitter = Emitter({})
    first, again = emitter.constant(torch.ones(3)), emitter.constant(torch.ones(4)[:3])
    assert first is again
    assert emitter.constant(torch.ones(3, dtype=torch.float64)) is not first
    assert emitter.constant(torch.ones(1, 3)) is not first


def test_what_nobody_needs_is_left_out() -> None:
    emitter = Emitter({})
    x = emitter.graph.placeholder("x")
    emitter.call(_aten.relu.default, x)
    graph = emitter.finish([[x], [emitter.call(_aten.neg.default, x)]])
    assert "relu" not in str(graph.graph)
    torch.testing.assert_close(graph(torch.ones(1, 2)), torch.tensor([[1.0, 1], [-1, -1]]))
