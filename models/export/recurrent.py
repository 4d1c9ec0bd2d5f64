"""LSTM and GRU as one operation each, over a number of steps that is free.

torch.export writes one step after the other, and makes the number of steps a constant. The operations here are those of
ONNX (https://onnx.ai/onnx/operators/, LSTM and GRU), with its order of gates, so that a graph keeps them whole.
"""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset20 as op
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

_GATES = {nn.LSTM: [0, 3, 1, 2], nn.GRU: [1, 0, 2]}
"""Where each gate of ONNX's i, o, f, c and z, r, h lies in torch's i, f, g, o and r, z, n."""
_BACK = {nn.LSTM: [0, 2, 3, 1], nn.GRU: [1, 0, 2]}


@torch.library.custom_op("masksembles::gru", mutates_args=())
def gru(x: Tensor, w: Tensor, r: Tensor, b: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """A layer over x [T, B, C]: all states [T, B, D·H] and the last ones [D, B, H], for D directions.

    Args:
        w: weights of the input, [D, 3·H, C].
        r: of the state, [D, 3·H, H].
        b: shifts of both, [D, 6·H].
        start: the states that it starts from, [D, B, H].
    """
    flat = _as_torch(nn.GRU, w, r, b)
    states, last = torch.gru(x, start, flat, True, 1, 0.0, False, len(w) == 2, False)
    return states, last


@torch.library.custom_op("masksembles::lstm", mutates_args=())
def lstm(x: Tensor, w: Tensor, r: Tensor, b: Tensor, start: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same with 4 gates instead of 3, and cells beside states."""
    flat = _as_torch(nn.LSTM, w, r, b)
    states, last, cells = torch.lstm(x, (start, cell), flat, True, 1, 0.0, False, len(w) == 2, False)
    return states, last, cells


@gru.register_fake
def _(x: Tensor, w: Tensor, r: Tensor, b: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], x.shape[1], w.shape[0] * r.shape[2]), torch.empty_like(start)


@lstm.register_fake
def _(x: Tensor, w: Tensor, r: Tensor, b: Tensor, start: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    states = x.new_empty(x.shape[0], x.shape[1], w.shape[0] * r.shape[2])
    return states, torch.empty_like(start), torch.empty_like(cell)


@register_flop_formula([torch.ops.masksembles.gru, torch.ops.masksembles.lstm])
def _flops(x: Any, w: Any, r: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    steps, rows, features = x
    directions, gates, state = r
    return int(2 * steps * rows * directions * gates * (features + state))


def _as_torch(kind: type[nn.RNNBase], w: Tensor, r: Tensor, b: Tensor) -> list[Tensor]:
    """The weights of every direction in torch's order."""
    return [
        value
        for direction in range(len(w))
        for value in (
            _ordered(w[direction], _BACK[kind]),
            _ordered(r[direction], _BACK[kind]),
            *(_ordered(shift, _BACK[kind]) for shift in b[direction].chunk(2)),
        )
    ]


def _ordered(value: Tensor, order: list[int]) -> Tensor:
    gates = value.chunk(len(order))
    return torch.cat([gates[index] for index in order])


class Recurrent(nn.Module):
    """What an LSTM or GRU without projections computes, by the operations above."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.batch_first, self.layers, self.size = layer.batch_first, layer.num_layers, layer.hidden_size
        self.directions, self.has_cells = 1 + layer.bidirectional, isinstance(layer, nn.LSTM)
        order = _GATES[type(layer)]
        for number in range(layer.num_layers):
            ends = [f"_l{number}{end}" for end in ("", "_reverse")[: self.directions]]

            def gates(name: str, ends: list[str] = ends) -> list[Tensor]:
                return [_ordered(getattr(layer, name + end).detach(), order) for end in ends]

            r = torch.stack(gates("weight_hh"))
            shifts = torch.zeros(self.directions, 2 * r.shape[1], dtype=r.dtype)
            if layer.bias:
                shifts = torch.stack([torch.cat(pair) for pair in zip(gates("bias_ih"), gates("bias_hh"))])
            for name, value in (("w", torch.stack(gates("weight_ih"))), ("r", r), ("b", shifts)):
                self.register_buffer(f"{name}{number}", value)

    def forward(self, x: Tensor, start: Any = None) -> tuple[Tensor, Any]:
        """As torch's: x [B, T, C], or [T, B, C], and states [L·D, B, H] to start from, by default 0."""
        if self.batch_first:
            x = x.transpose(0, 1)
        if start is None:
            zeros = x.new_zeros(self.layers * self.directions, x.shape[1], self.size)
            start = (zeros, zeros) if self.has_cells else zeros
        lasts, cells = [], []
        for number in range(self.layers):
            w, r, b = (self.get_buffer(f"{name}{number}") for name in "wrb")
            here = slice(number * self.directions, (number + 1) * self.directions)
            if self.has_cells:
                x, last, cell = lstm(x, w, r, b, start[0][here], start[1][here])
                cells.append(cell)
            else:
                x, last = gru(x, w, r, b, start[here])
            lasts.append(last)
        if self.batch_first:
            x = x.transpose(0, 1)
        states = torch.cat(lasts)
        return x, (states, torch.cat(cells)) if self.has_cells else states


def keep_whole(network: nn.Module) -> None:
    """Makes the LSTMs and GRUs of a network run as one operation for each layer."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.LSTM | nn.GRU) and type(layer) in _GATES and not layer.proj_size:  # ONNX has none
            # the layer stays what it is, and all that a network asks of it
            layer.add_module("whole", Recurrent(layer))
            layer.forward = layer.whole.forward  # type: ignore[method-assign, union-attr]


def _flat(states: Any) -> Any:
    """ONNX's states [T, D, B, H] as [T, B, D·H]."""
    return op.Reshape(op.Transpose(states, perm=[0, 2, 1, 3]), op.Constant(value_ints=[0, 0, -1]))  # type: ignore[arg-type]


def _direction(r: Any) -> str:
    return "bidirectional" if r.shape[0] == 2 else "forward"


def _gru(x: Any, w: Any, r: Any, b: Any, start: Any) -> Any:
    # torch shifts what the reset gate is multiplied with
    states, last = op.GRU(
        x, w, r, b, None, start, hidden_size=r.shape[2], direction=_direction(r), linear_before_reset=1
    )
    return _flat(states), last


def _lstm(x: Any, w: Any, r: Any, b: Any, start: Any, cell: Any) -> Any:
    states, last, cells = op.LSTM(x, w, r, b, None, start, cell, hidden_size=r.shape[2], direction=_direction(r))
    return _flat(states), last, cells


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.masksembles.gru.default: _gru,
    torch.ops.masksembles.lstm.default: _lstm,
}
"""For torch.onnx.export."""
