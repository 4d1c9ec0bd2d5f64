"""Lines that torch.export stumbles over, and what the message says of them."""

import inspect
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.export.trace import trace


class Network(nn.Module):
    def __init__(self, forward: "Callable[[Network, Tensor], Tensor]") -> None:
        super().__init__()
        self.body, self.token, self.steps = forward, nn.Parameter(torch.zeros(1, 4)), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(self.body(self, x))


def counts(network: Network, x: Tensor) -> Tensor:
    rows = len(x)
    return x + network.token.repeat(rows, 1)


def counts_features(network: Network, x: Tensor) -> Tensor:
    return x + network.token.new_zeros(len(network.steps(x)), 4)


def whole_number(network: Network, x: Tensor) -> Tensor:
    return x.view(int(x.shape[0]), 2, 2).flatten(1)


def steps(_: Network, x: Tensor) -> Tensor:
    done = []
    for row in range(x.size(0)):
        done.append(x[row : row + 1].sin())
    return torch.cat(done)


def rows_of_two(_: Network, x: Tensor) -> Tensor:
    return x.reshape(2, -1, 4).flatten(0, 1)


def unusual(_: Network, x: Tensor) -> Tensor:
    if x.abs().max() > 10:
        x = x / 10
    return x


def loops(_: Network, x: Tensor) -> Tensor:
    while bool((x > 1).any()):
        x = x / 2
    return x


def through_numpy(_: Network, x: Tensor) -> Tensor:
    return torch.as_tensor(x.numpy().clip(0, 1))


@pytest.mark.parametrize(
    ("forward", "code", "advice"),
    [
        (counts, "rows = len(x)", "write x.shape[0] instead"),
        (counts_features, "len(network.steps(x))", "write x.shape[0] instead"),
        (whole_number, "int(x.shape[0])", "write x.shape[0] as it is, without int()"),
        (steps, "for row in range(x.size(0))", "write an operation on all rows at once"),
        (rows_of_two, "x.reshape(2, -1, 4)", "the number of rows becomes a constant"),
        (unusual, "if x.abs().max() > 10:", "write torch.where(condition, a, b)"),
        (loops, "while bool((x > 1).any()):", "write torch.where(condition, a, b)"),
        (through_numpy, "x.numpy()", "compute with the tensor itself"),
    ],
)
def test_the_line_and_what_to_write_come_first(
    forward: Callable[[Network, Tensor], Tensor], code: str, advice: str
) -> None:
    lines, first = inspect.getsourcelines(forward)
    (number,) = (first + index for index, line in enumerate(lines) if code in line)
    with pytest.raises(ValueError, match="the network cannot be traced") as raised:
        trace(Network(forward).eval(), torch.rand(3, 4))
    ours, *torchs = str(raised.value).splitlines()
    assert f"{__file__}, line {number}, in " in ours
    assert code in ours
    assert advice in ours
    assert torchs


class Reads(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.max().item()


class ReadsWeights(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.ones(3).sum().item()


class Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5)


class DrawsInAttention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows = x.unsqueeze(1)
        return F.scaled_dot_product_attention(rows, rows, rows, dropout_p=0.1).squeeze(1)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Reads(), "line {}, in forward: `return x * x.max().item()`: a value is read out of a tensor"),
        (ReadsWeights(), "`return x * torch.ones(3).sum().item()`: a value is read out of a tensor"),
        (Draws(), "line {}, in forward: `return F.dropout(x, 0.5)`: it draws random numbers in evaluation mode"),
        (DrawsInAttention(), "it draws random numbers in evaluation mode"),
    ],
)
def test_what_can_be_traced_and_not_be_served_is_refused(network: nn.Module, message: str) -> None:
    number = inspect.getsourcelines(type(network))[1] + 2
    with pytest.raises(ValueError, match=re.escape(message.format(number))):
        trace(network.eval(), torch.rand(3, 4))


def test_dropout_that_is_off_draws_nothing() -> None:
    class Fine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.read = nn.Dropout(0.5), nn.LSTM(4, 4, num_layers=2, dropout=0.5, batch_first=True)
            self.attend = nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            rows = self.read(x.unsqueeze(1))[0]
            rows = F.dropout(self.attend(rows, rows, rows)[0][:, 0], 0.0)
            return F.dropout(self.drop(rows), 0.5, self.training)

    assert trace(Fine().eval(), torch.rand(3, 4)) is not None
