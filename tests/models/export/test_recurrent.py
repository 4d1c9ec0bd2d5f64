"""Recurrent networks, whose hidden state has the batch on axis 1, from fold to file."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.export import ExportOptions, export
from models.export.compact import compact
from models.export.fold import fold
from models.export.trace import trace
from models.layers import Masksembles1d, submodels
from tests.models.export.test_fold import check

Kind = type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]


class Reader(nn.Module):
    """Reads rows [B, 5, 6] by one recurrent layer, a mask over its features, and a second one.

    Args:
        start: where the second one's hidden state starts: at zero, at a learned state, at the first one's last state,
            or at a state computed from the rows.
    """

    def __init__(self, kind: Kind, start: str, *, batch_first: bool, bidirectional: bool, depth: int):
        super().__init__()
        self.start, self.batch_first, self.states = start, batch_first, depth * (1 + bidirectional)
        shape: dict[str, Any] = {"batch_first": batch_first, "bidirectional": bidirectional, "num_layers": depth}
        self.first = kind(6, 8 // (1 + bidirectional), **shape)
        self.mask = Masksembles1d(8, 3, seed=0)
        self.second = kind(8, 8 // (1 + bidirectional), **shape)
        self.begin = nn.Linear(6, 8 // (1 + bidirectional))
        self.learned = nn.Parameter(torch.randn(self.states, 1, 8 // (1 + bidirectional)))
        self.last = nn.Linear(8 + 8 // (1 + bidirectional), 4)

    def forward(self, x: Tensor) -> Tensor:
        sequence, first_state = self.first(x if self.batch_first else x.transpose(0, 1))
        features = sequence.transpose(1, 2) if self.batch_first else sequence.permute(1, 2, 0)
        masked = self.mask(features)
        masked = masked.transpose(1, 2) if self.batch_first else masked.permute(2, 0, 1)
        sequence, state = self.second(masked, self.beginning(x, first_state))
        ended = sequence[:, -1] if self.batch_first else sequence[-1]
        return self.last(torch.cat([ended, (state[0] if isinstance(state, tuple) else state)[-1]], dim=1))

    def beginning(self, x: Tensor, first_state: object) -> object:
        if self.start == "zero":
            return None
        if self.start == "first":
            return first_state
        if self.start == "learned":
            state = self.learned.expand(-1, x.shape[0], -1)
        else:
            state = self.begin(x.mean(dim=1)).unsqueeze(0).repeat(self.states, 1, 1)
        return (state, state.tanh()) if isinstance(self.first, nn.LSTM) else state


STARTS = ("zero", "first", "learned", "rows")


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    ("start", "bidirectional", "depth"), list(zip(STARTS, (True, False, True, False), (1, 2, 2, 1)))
)
def test_states_are_expanded_where_they_have_the_batch(
    kind: Kind, batch_first: bool, start: str, bidirectional: bool, depth: int
) -> None:
    network = Reader(kind, start, batch_first=batch_first, bidirectional=bidirectional, depth=depth)
    check(network, (5, 6), 3)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize(("batch_first", "start"), [(True, "first"), (False, "rows")])
def test_recurrent_layers_take_all_channels_of_a_compact_plan(kind: Kind, batch_first: bool, start: str) -> None:
    network = Reader(kind, start, batch_first=batch_first, bidirectional=True, depth=2)
    network = network.eval().requires_grad_(False)
    graph = compact(trace(network, torch.rand(2, 5, 6)), 3, "branches")
    for batch in (1, 2, 7):  # in float32: the zeros that a state starts from are traced as such
        x = torch.randn(batch, 5, 6)
        torch.testing.assert_close(graph(x), submodels(network, x).flatten(0, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "batch_first", "start"), [(nn.LSTM, False, "first"), (nn.GRU, True, "rows")])
def test_recurrent_networks_are_exported_and_verified(
    kind: Kind, batch_first: bool, start: str, tmp_path: Path
) -> None:
    network = Reader(kind, start, batch_first=batch_first, bidirectional=True, depth=2)
    export(network, torch.randn(2, 5, 6), ExportOptions(labels="abcd"), name="reader", repository=tmp_path)
    export(
        network, torch.randn(2, 5, 6), ExportOptions(labels="abcd", plan="branches"), name="reader", repository=tmp_path
    )
    assert (tmp_path / "reader" / "2" / "model.cpu.onnx").exists()


def test_cells_that_are_stepped_by_hand() -> None:
    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask, self.cell, self.last = Masksembles1d(6, 3, seed=0), nn.LSTMCell(6, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            state, memory = x.new_zeros(x.shape[0], 8), x.new_zeros(x.shape[0], 8)
            for step in range(x.shape[1]):
                state, memory = self.cell(self.mask(x[:, step]), (state, memory))
            return self.last(state)

    check(ByHand(), (5, 6), 3)


def test_a_mask_needs_the_samples_on_axis_0() -> None:
    class Sideways(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask, self.last = Masksembles1d(8, 3, seed=0), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.mask(x.permute(1, 2, 0)).permute(2, 0, 1).mean(dim=1)[:, :6])

    network = Sideways().eval()
    with pytest.raises(ValueError, match="a mask applies to permute, which has the batch on another axis than 0"):
        fold(trace(network, torch.rand(2, 5, 8)), 3)


def test_a_value_with_the_batch_on_two_axes_cannot_be_expanded() -> None:
    class Compares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask, self.last = Masksembles1d(8, 3, seed=0), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last((x @ x.T) @ self.mask(x))

    network = Compares().eval()
    assert submodels(network, torch.rand(2, 8)).shape == (3, 2, 4)
    with pytest.raises(ValueError, match="matmul carries the batch on several axes"):
        fold(trace(network, torch.rand(2, 8)), 3)


class Tokens(nn.Module):
    """[B, 5, 6] flattened to rows, with the samples first or the tokens first, and a mask over their features."""

    def __init__(self, tokens_first: bool, masked_there: bool) -> None:
        super().__init__()
        self.tokens_first, self.masked_there = tokens_first, masked_there
        self.first, self.mask, self.last = nn.Linear(6, 8), Masksembles1d(8, 3, seed=0), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if not self.masked_there:
            x = self.mask(x.transpose(1, 2)).transpose(1, 2)
        x = x.transpose(0, 1) if self.tokens_first else x
        rows = x.reshape(-1, 8)
        answers = self.last(self.mask(rows) if self.masked_there else rows).reshape(*x.shape[:2], 4)
        return answers.mean(dim=0 if self.tokens_first else 1)


@pytest.mark.parametrize(("tokens_first", "masked_there"), [(False, True), (False, False), (True, False)])
def test_tokens_become_rows(tokens_first: bool, masked_there: bool) -> None:
    check(Tokens(tokens_first, masked_there), (5, 6), 3)


def test_a_mask_over_the_tokens_of_all_samples_in_turn_is_refused() -> None:
    network = Tokens(tokens_first=True, masked_there=True).eval()
    with pytest.raises(ValueError, match=r"has the tokens of all samples in turn, .*put the samples first"):
        fold(trace(network, torch.rand(2, 5, 6)), 3)


def test_a_size_that_does_not_grow_in_proportion_is_refused() -> None:
    class OneMore(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask, self.last = Masksembles1d(8, 3, seed=0), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            places = torch.arange(x.shape[0] + 1)[:-1]
            return self.last(self.mask(x) + (self.mask(x).new_zeros(x.shape[0] + 1, 8)[:-1] + places[:, None]) * 0)

    network = OneMore().eval()
    with pytest.raises(ValueError, match="grows with the number of rows, and not in proportion"):
        fold(trace(network, torch.rand(2, 8)), 3)
