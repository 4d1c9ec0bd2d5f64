from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.export.row_independence import check_independence
from models.export.trace import trace
from models.layers import Masksembles1d


class Applies(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.mask, self.last = function, Masksembles1d(6, 4), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.mask(x)))


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda x: x - x.mean(0), "mean"),
        (lambda x: torch.softmax(x, 0), "softmax"),
        (lambda x: x.cumsum(0).flip(0), "flip|cumsum"),
        (lambda x: (x @ x.t()) @ x, "matmul|mm"),
        (lambda x: torch.sort(x, 0)[0], "sort"),
        (lambda x: nn.functional.batch_norm(x, None, None, training=True), "batch_norm"),
        (lambda x: x * x.shape[0], "mul"),
        (lambda x: x / x.norm(), "norm"),
        (lambda x: torch.roll(x, 1, 0), "roll"),
    ],
)
def test_an_operation_that_mixes_rows_is_named(function: Callable[[Tensor], Tensor], operation: str) -> None:
    graph = trace(Applies(function).eval(), torch.rand(2, 6))
    with pytest.raises(ValueError, match=rf"mixes the rows of a batch: in \S*({operation})"):
        check_independence(graph, torch.rand(3, 6))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: torch.softmax(x, -1),
        lambda x: x.view(x.shape[0], 2, 3).transpose(1, 2).reshape(x.shape[0], -1),
        lambda x: nn.functional.layer_norm(x, (6,)),
        lambda x: torch.cat([x[:, 3:], x[:, :3]], dim=1),
    ],
)
def test_operations_within_a_row_pass(function: Callable[[Tensor], Tensor]) -> None:
    check_independence(trace(Applies(function).eval(), torch.rand(2, 6)), torch.rand(3, 6))
