"""What operations do to channels, read from traced graphs; plans that rely on it are tested in test_compact."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.export.mark import MARK
from models.export.nodes import constants
from models.export.operation import Operation, group_sizes, groups, mask
from models.export.trace import trace
from models.layers import FrozenDropout

Step = Callable[[Tensor], Tensor]
MAP, SEQUENCE, FEATURES = (4, 5, 5), (4, 6), (8,)


class Shift(nn.Module):
    """Adds a number to each channel, 0 to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("each", torch.arange(4.0).reshape(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.each


class Applies(nn.Module):
    """Steps of any kind, each behind a mark of its own."""

    def __init__(self, steps: list[Step], row: tuple[int, ...]) -> None:
        super().__init__()
        drawn = torch.ones(2, row[0], dtype=torch.bool)
        drawn[1, 0] = False
        self.mask, self.steps = FrozenDropout(drawn, 0.5), steps
        self.modules_of_steps = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([step(self.mask(x)).flatten(1) for step in self.steps], dim=1)


def operations(steps: list[Step], row: tuple[int, ...], names: list[str]) -> list[Operation]:
    """The first operation of its name behind each step's mark."""
    # all in one trace, which takes long
    traced = trace(Applies(steps, row).eval().requires_grad_(False), torch.rand(2, *row))
    known = constants(traced)
    marks = [node for node in traced.graph.nodes if node.target is MARK]
    found = []
    for mark, name in zip(marks, names, strict=True):
        behind = {mark}
        for node in traced.graph.nodes:
            if behind.intersection(node.all_input_nodes):
                behind.add(node)
        node = next(node for node in traced.graph.nodes if node in behind and name in str(node.target))
        found.append(Operation(node, known))
    return found


def operation(step: Step, row: tuple[int, ...], name: str) -> Operation:
    return operations([step], row, [name])[0]


KINDS: list[tuple[Step, tuple[int, ...], str, str | None]] = [
    (nn.Identity(), MAP, "mark", "mark"),
    # products
    (nn.Conv2d(4, 8, 3), MAP, "conv2d", "dense"),
    (nn.Conv2d(4, 4, 3, groups=4), MAP, "conv2d", "grouped"),
    (nn.Conv2d(4, 8, 3, groups=4), MAP, "conv2d", "grouped"),
    (nn.Conv2d(4, 4, 3, groups=2), MAP, "conv2d", "grouped"),
    (nn.ConvTranspose2d(4, 8, 3), MAP, "conv_transpose2d", "dense"),
    (nn.ConvTranspose2d(4, 4, 3, groups=4), MAP, "conv_transpose2d", "grouped"),
    (nn.Linear(8, 3), FEATURES, "linear", "dense"),
    (nn.Linear(6, 3), SEQUENCE, "linear", "dense"),
    # normalisation
    (nn.BatchNorm2d(4), MAP, "batch_norm", "normalise"),
    (nn.PReLU(4), MAP, "prelu", "normalise"),
    (lambda x: F.batch_norm(x, None, None, training=True), MAP, "batch_norm", None),
    (nn.GroupNorm(2, 4), MAP, "group_norm", "grouped"),
    (nn.InstanceNorm2d(4), MAP, "instance_norm", "normalise"),
    (nn.LayerNorm(5), MAP, "layer_norm", None),
    # one value at a time
    (nn.ReLU(), MAP, "relu", "pointwise"),
    (lambda x: x.clone(), MAP, "clone", "pointwise"),
    (lambda x: x * x.flip(2), MAP, "mul", "pointwise"),
    (lambda x: x * x[:, :1], MAP, "mul", "pointwise"),
    (Shift(), MAP, "add", "pointwise"),
    (lambda x: x * x.shape[0], MAP, "mul", None),
    (lambda x: x[:, 0] + x[:, 1], MAP, "add", "pointwise"),
    # along an axis
    (lambda x: x.mean((2, 3)), MAP, "mean", "channelwise"),
    (lambda x: x.mean(-1), SEQUENCE, "mean", "channelwise"),
    (lambda x: x.mean(-2), SEQUENCE, "mean", None),
    (lambda x: x.mean((1, 2)), MAP, "mean", None),
    (lambda x: x.softmax(1), SEQUENCE, "softmax", None),
    (lambda x: x.softmax(2), SEQUENCE, "softmax", "channelwise"),
    (lambda x: x[:, :, 1:], SEQUENCE, "slice", "channelwise"),
    (lambda x: x[..., 1:], SEQUENCE, "slice", "channelwise"),
    (lambda x: x.narrow(1, 1, 2), SEQUENCE, "slice", "part"),
    (lambda x: x.narrow(1, 1, 2)[:, :, 1:], SEQUENCE, "slice", "part"),
    (lambda x: x.flip(0), SEQUENCE, "flip", None),
    (lambda x: F.pad(x, (1, 1, 0, 1)), MAP, "pad", "channelwise"),
    (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)), MAP, "pad", None),
    (nn.MaxPool2d(2), MAP, "max_pool2d", "channelwise"),
    (nn.MaxPool1d(3, 1, 1), FEATURES, "max_pool", None),  # of one sample, whose channels are the rows
    (nn.Upsample(scale_factor=2), MAP, "upsample", "channelwise"),
    # shapes
    (lambda x: torch.cat([x, x.relu()], 1), SEQUENCE, "cat", "cat"),
    (lambda x: torch.cat([x, x.relu()], -2), SEQUENCE, "cat", "cat"),
    (lambda x: torch.cat([x, x.relu()], 2), SEQUENCE, "cat", "pointwise"),
    (nn.PixelShuffle(2), MAP, "pixel_shuffle", "reshape"),
    (lambda x: F.pixel_unshuffle(x[:, :, 1:, 1:], 2), MAP, "pixel_unshuffle", "flatten"),
    (nn.Flatten(), MAP, "view", "flatten"),
    (lambda x: x.flatten(2), MAP, "view", "channelwise"),
    (lambda x: x.unsqueeze(-1), SEQUENCE, "unsqueeze", "channelwise"),
    (lambda x: x.view(-1, 4, 2), FEATURES, "view", "reshape"),
    (lambda x: x.view(-1, 6, 4), SEQUENCE, "view", None),
    (lambda x: x[:, :, 0], SEQUENCE, "select", "channelwise"),
    (lambda x: x.transpose(1, 2), SEQUENCE, "transpose", None),  # nothing says where its channels are
    (lambda x: x.sort(2)[0], SEQUENCE, "sort", None),  # two results
]


@pytest.mark.parametrize("row", [MAP, SEQUENCE, FEATURES])
def test_every_operation_has_its_kind(row: tuple[int, ...]) -> None:
    steps, names, kinds = zip(*((step, name, kind) for step, shape, name, kind in KINDS if shape == row))
    found = operations(list(steps), row, list(names))
    assert [(str(x.node.target), x.kind) for x in found] == list(zip([str(x.node.target) for x in found], kinds))


def test_a_convolution_tells_its_weights_and_settings() -> None:
    layer = nn.Conv2d(4, 8, 3, stride=2, bias=False)
    found = operation(layer, MAP, "conv2d")
    assert (found.channels, found.transposed, found.reshapes) == (8, False, False)
    torch.testing.assert_close(found.weight, layer.weight.detach())
    assert found.constant(2) is None
    assert found.settings == {"stride": [2, 2]}
    assert (found.argument(3), found.argument(6, 1)) == ([2, 2], 1)
    layer = nn.Conv2d(4, 4, 3, groups=4, padding=1)
    found = operation(layer, MAP, "conv2d")
    assert (found.settings["groups"], found.settings["padding"]) == (4, [1, 1])
    assert not found.settings.keys() & {"input", "weight", "bias"}
    assert layer.bias is not None
    torch.testing.assert_close(found.constant(2), layer.bias.detach())
    transposed = operation(nn.ConvTranspose2d(4, 8, 3, groups=2), MAP, "conv_transpose2d")
    assert (transposed.transposed, group_sizes(transposed)) == (True, (2, 4))
    assert group_sizes(operation(nn.GroupNorm(4, 4), MAP, "group_norm")) == (1, 1)


def test_only_values_of_the_batch_are_inputs() -> None:
    found = operation(nn.Linear(8, 3), FEATURES, "linear")
    assert len(found.node.all_input_nodes) == 3
    assert found.inputs == [found.x]
    joined = operation(lambda x: torch.cat([x.relu(), x], 1), FEATURES, "cat")
    assert joined.x is joined.inputs[0]
    assert "relu" in joined.x.name
    assert len(joined.inputs) == 2


def test_a_mask_is_read_with_its_factor() -> None:
    marked = operation(nn.Identity(), FEATURES, "mark")
    np.testing.assert_array_equal(mask(marked, 0), [2.0] * 8)
    np.testing.assert_array_equal(mask(marked, 1), [0.0] + [2.0] * 7)


def test_channels_move_with_transposes_and_reductions() -> None:
    class Moves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            drawn = torch.ones(2, 4, dtype=torch.bool)
            self.mask, self.linear = FrozenDropout(drawn, 0.5), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.mask(x).permute(0, 2, 1)
            joined = torch.cat([tokens, self.linear(tokens).sum(2, keepdim=True) + tokens], 1)
            return joined.mean(1) + tokens[:, 0]

    traced = trace(Moves().eval().requires_grad_(False), torch.rand(2, 4, 6))
    known, axes = constants(traced), dict[torch.fx.Node, int | None]()
    found = []
    for node in traced.graph.nodes:
        if node.op == "call_function":
            each = Operation(node, known, axes)
            axes[node] = each.axis
            found.append((node.target.overloadpacket.__name__, each.kind, each.axis))
    assert found == [
        ("mark", "mark", 1),
        ("permute", "permute", 2),
        ("linear", "dense", 2),
        ("sum", None, None),  # over the channels themselves
        ("add", "pointwise", 2),
        ("cat", "pointwise", 2),
        ("mean", "channelwise", 1),
        ("slice", "channelwise", 2),
        ("select", "channelwise", 1),
        ("add", "pointwise", 1),
    ]


def test_a_channel_becomes_as_many_features_as_it_has_places() -> None:
    flat = operation(nn.Flatten(), MAP, "view")
    assert (groups(flat), flat.channels, flat.reshapes) == (25, 100, True)
