"""Dropout that a network calls as a function: what a pass drops, and a network in which masks take its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from models.given import Tensors, each
from models.layers import FrozenDropout

_BY_CHANNEL = (F.dropout1d, F.dropout2d, F.dropout3d, torch.feature_dropout)
_DROPOUT = (F.dropout, torch.dropout, *_BY_CHANNEL)
_NEVER = (F.alpha_dropout, F.feature_alpha_dropout, torch.alpha_dropout, torch.feature_alpha_dropout)
_ATTENTION = {F.scaled_dot_product_attention: 4, F.multi_head_attention_forward: 10}
"""Each with the position of its argument dropout_p."""


@dataclass(frozen=True)
class DropoutCall:
    """A call of dropout with p > 0 in a forward pass."""

    name: str
    shape: tuple[int, ...]
    """Of its input [B, …]."""
    rate: float
    by_channel: bool


def dropout_calls(network: nn.Module, inputs: Tensors) -> list[DropoutCall]:
    """The calls in a forward pass, in order; those of modules, too, unless they have been replaced.

    Raises:
        ValueError: one of a kind that no mask can stand for.
    """
    found: list[DropoutCall] = []

    def note(call: DropoutCall, x: Tensor) -> Tensor:
        found.append(call)
        return x

    with torch.no_grad(), _Dropping(note):
        network(*each(inputs))
    return found


class FunctionalDropout(nn.Module):
    """A network whose calls of dropout go through masks, one for each call in order."""

    def __init__(self, network: nn.Module, masks: Sequence[FrozenDropout]) -> None:
        super().__init__()
        self.network = network
        self.masks = nn.ModuleList(masks)

    def forward(self, *inputs: Tensor) -> Any:
        left = iter(self.masks)
        with _Dropping(lambda _, given: next(left)(given)):
            return self.network(*inputs)


class _Dropping(TorchFunctionMode):
    """Within it, calls of dropout go elsewhere, in evaluation mode too."""

    def __init__(self, instead: Callable[[DropoutCall, Tensor], Tensor]) -> None:
        super().__init__()
        self.instead = instead

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _DROPOUT and func not in _NEVER and func not in _ATTENTION:
            return func(*args, **kwargs)
        if func in _ATTENTION:
            place = _ATTENTION[func]
            rate = float(kwargs.get("dropout_p", args[place] if len(args) > place else 0.0))
        else:
            x, rate = _arguments(*args, **kwargs)
        if rate == 0:
            return func(*args, **kwargs)
        if func not in _DROPOUT:
            raise ValueError(f"mc_dropout: the dropout of a call of {func.__name__} cannot be frozen")
        return self.instead(DropoutCall(func.__name__, tuple(x.shape), rate, func in _BY_CHANNEL), x)


def _arguments(input: Tensor, p: float = 0.5, *_: Any, **__: Any) -> tuple[Tensor, float]:
    """Input and p of a call, which torch's functions take by position or by these names."""
    return input, float(p)
