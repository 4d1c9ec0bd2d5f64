"""What operations give for zeros, read from traced graphs."""

import pytest
from torch import nn
from torch.nn import functional as F

from models.export.zeros import at_zero
from tests.models.export.test_operation import MAP, SEQUENCE, Shift, Step, operations


def with_statistics(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Shifts channel 2, and no other."""
    norm.bias.data[2] = 1
    return norm


ZEROS: list[tuple[Step, tuple[int, ...], str, list[int]]] = [
    (nn.ReLU(), MAP, "relu", [0, 0, 0, 0]),
    (nn.Sigmoid(), MAP, "sigmoid", [1, 1, 1, 1]),
    (lambda x: x * 2 + 1, MAP, "add", [1, 1, 1, 1]),
    (Shift(), MAP, "add", [0, 1, 1, 1]),
    (with_statistics(nn.BatchNorm2d(4)), MAP, "batch_norm", [0, 0, 1, 0]),
    (nn.Conv2d(4, 4, 3, groups=4, bias=False), MAP, "conv2d", [0, 0, 0, 0]),
    (nn.Conv2d(4, 4, 3, groups=4), MAP, "conv2d", [1, 1, 1, 1]),
    (lambda x: F.pad(x, (1, 1), value=0.0), MAP, "pad", [0, 0, 0, 0]),
    (lambda x: F.pad(x, (1, 1), value=2.0), MAP, "pad", [1, 1, 1, 1]),
    (lambda x: x.flatten(2), MAP, "view", [0, 0, 0, 0]),
    (nn.Conv2d(4, 4, 3, bias=False), MAP, "conv2d", [1, 1, 1, 1]),  # whole: what it does at zero is not asked
    (lambda x: x.view(-1, 6, 4), SEQUENCE, "view", [1] * 6),  # not known, so nothing is assumed
]


@pytest.mark.parametrize("row", [MAP, SEQUENCE])
def test_what_it_gives_for_zeros_is_known(row: tuple[int, ...]) -> None:
    steps, names, expected = zip(*((step, name, kept) for step, shape, name, kept in ZEROS if shape == row))
    found = operations(list(steps), row, list(names))
    assert [at_zero(x).astype(int).tolist() for x in found] == list(expected)
