"""Recurrent layers over a number of steps that is free."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from models.export import cost
from models.export.recurrent import Recurrent, keep_whole
from models.export.trace import trace
from tests.models.export.plans_agree import plans
from tests.models.export.test_recurrent import Kind, Reader

T = Dim("T", min=2, max=40)


def flat(answer: tuple[Tensor, Any]) -> list[Tensor]:
    states, last = answer
    return [states, *(last if isinstance(last, tuple) else (last,))]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(
    "settings",
    [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True, "bias": False, "num_layers": 3}],
    ids=["plain", "bidirectional", "no shifts"],
)
def test_the_operations_compute_what_the_layers_of_torch_do(
    kind: type[nn.LSTM] | type[nn.GRU], settings: dict[str, Any]
) -> None:
    layer = kind(3, 4, **settings).double()
    whole, x = Recurrent(layer), torch.randn(5, 2, 3).double()
    state: Any = torch.randn(flat(layer(x))[1].shape).double()
    start = (state, state.tanh()) if kind is nn.LSTM else state
    for given in (None, start):
        for found, expected in zip(flat(whole(x, given)), flat(layer(x, given)), strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("kind", "batch_first", "start", "bidirectional", "depth"),
    [
        (nn.LSTM, True, "zero", True, 2),
        (nn.GRU, False, "rows", False, 1),
        (nn.GRU, True, "first", True, 2),
        (nn.LSTM, False, "learned", False, 2),
    ],
)
def test_every_plan_reads_any_number_of_steps(
    kind: Kind, batch_first: bool, start: str, bidirectional: bool, depth: int
) -> None:
    network = Reader(kind, start, batch_first=batch_first, bidirectional=bidirectional, depth=depth)
    others = [torch.randn(7, 8, 6), torch.randn(7, 2, 6)]
    plans(network, torch.randn(7, 5, 6), free={1: T}, others=others, onnx_of=["folded", "branches"])


def test_a_layer_counts_its_products() -> None:
    network = nn.GRU(3, 4, batch_first=True, bidirectional=True)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)[0].mean(1)

    x = torch.rand(2, 5, 3)
    graph = trace(Last().eval().requires_grad_(False), x, [{1: T}])
    assert "masksembles.gru" in str(graph.graph)
    assert cost.macs(graph, x) == 5 * 2 * 3 * 4 * (3 + 4)


def test_a_layer_stays_what_the_network_takes_it_for() -> None:
    network = nn.ModuleList([nn.LSTM(3, 4), nn.RNN(3, 4), nn.LSTM(3, 4, proj_size=2)])
    keep_whole(network)
    kept = [any(isinstance(part, Recurrent) for part in layer.children()) for layer in network]
    assert kept == [True, False, False]
    assert isinstance(network[0], nn.LSTM)
