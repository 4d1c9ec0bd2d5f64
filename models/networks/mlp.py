"""A multilayer perceptron with a Masksembles layer after every hidden layer."""

from collections.abc import Sequence
from math import prod

from torch import nn

from models import masks
from models.layers import Masksembles1d


def mlp(
    input_shape: Sequence[int],
    classes: int,
    *,
    submodels: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    align: int | None = None,
    hidden: Sequence[int] = (128, 128),
    widen: bool = False,
) -> nn.Sequential:
    """[B, *input_shape] → logits [B, K].

    Args:
        seed: of the masks; weights come from torch's generator.
        hidden: units of each hidden layer.
        widen: `hidden` is what each submodel keeps; the layers themselves are wider.
    """
    if widen:
        hidden = [masks.widen(size, submodels, scale) for size in hidden]
    stack: list[nn.Module] = [nn.Flatten()]
    width = prod(input_shape)
    for index, next_width in enumerate(hidden):
        stack += [
            nn.Linear(width, next_width),
            nn.ReLU(),
            Masksembles1d(next_width, submodels, scale, seed=(seed, index), align=align),
        ]
        width = next_width
    return nn.Sequential(*stack, nn.Linear(width, classes))
