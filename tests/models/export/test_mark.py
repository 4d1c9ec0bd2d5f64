import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from models.export.mark import MARK, Mark, mark


def test_a_mark_leaves_values_alone_and_gives_a_tensor_of_its_own() -> None:
    x, masks = torch.rand(2, 4), torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]])
    found = mark(x, masks)
    torch.testing.assert_close(found, x, rtol=0, atol=0)
    found.zero_()
    assert x.any()  # the masks apply later, and nothing that is computed from a mark changes its input


def test_its_shape_is_known_without_values() -> None:
    with FakeTensorMode() as mode:
        x = mode.from_tensor(torch.rand(5, 4, 3, dtype=torch.float64))
        found = mark(x, mode.from_tensor(torch.ones(2, 4)))
    assert (found.shape, found.dtype) == (x.shape, torch.float64)


def test_torch_finds_nothing_wrong_with_the_operation() -> None:
    # "test_faketensor" holds what is known without values against what a call gives
    torch.library.opcheck(MARK, (torch.rand(2, 4, 3), torch.ones(3, 4)), test_utils=("test_schema", "test_faketensor"))


def test_tracing_keeps_one_node_that_names_the_masks() -> None:
    masks = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]])
    program = torch.export.export(nn.Sequential(Mark(masks), nn.ReLU()), (torch.rand(2, 4),))
    (node,) = (node for node in program.graph.nodes if node.target is MARK)
    (name,) = program.graph_signature.inputs_to_buffers.values()
    assert program.graph_signature.inputs_to_buffers[str(node.args[1])] == name
    torch.testing.assert_close(program.state_dict[name], masks)
