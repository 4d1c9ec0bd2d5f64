"""Networks with several heads, as ones that give a tuple of their answers in the order of the heads."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.given import Tensors, each
from models.layers import assigned


class InOrder(nn.Module):
    """A network that gives some of its answers, by their keys in a dict or their places in a tuple."""

    def __init__(self, network: nn.Module, keys: Sequence[Any]) -> None:
        super().__init__()
        self.network = network
        self.keys = tuple(keys)

    def forward(self, *inputs: Tensor) -> Tensors:
        answers = self.network(*inputs)
        found = tuple(answers[key] for key in self.keys)
        return found if len(found) > 1 else found[0]


def in_order(network: nn.Module, example: Tensors, heads: Collection[str]) -> nn.Module:
    """The network if it gives a tensor for the only head, or a tuple of one for each; otherwise wrapped.

    Args:
        example: its inputs, a few rows.
        heads: the names of several heads, in order; empty if there is one without a name.

    Raises:
        ValueError: it gives something else; the message says what.
    """
    try:
        with torch.no_grad(), assigned(network, torch.zeros(len(each(example)[0]), dtype=torch.long)):
            answers = network(*each(example))
    except Exception:  # a network that does not run: the trace says what is wrong, and where
        return network
    if not heads or (len(heads) == 1 and isinstance(answers, Tensor)):
        return network
    if isinstance(answers, Mapping):
        missing = [head for head in heads if not isinstance(answers.get(head), Tensor)]
        if missing:
            raise ValueError(f"heads: the network gives no tensor {missing[0]!r}, but {_kind(answers)}")
        return InOrder(network, list(heads))
    tensors = isinstance(answers, (tuple, list)) and all(isinstance(answer, Tensor) for answer in answers)
    if not tensors or len(answers) != len(heads):
        raise ValueError(f"heads: expected a tensor for each of {', '.join(heads)}, the network gives {_kind(answers)}")
    return InOrder(network, [0]) if len(heads) == 1 else network


def _kind(answers: Any) -> str:
    if isinstance(answers, Tensor):
        return f"one tensor {list(answers.shape)}"
    if isinstance(answers, Mapping):
        return f"a {type(answers).__name__} of {', '.join(map(str, answers))}"
    if isinstance(answers, Sequence):
        return f"a {type(answers).__name__} of {len(answers)}"
    return f"a {type(answers).__name__}"
