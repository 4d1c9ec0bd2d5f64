"""Batch repetition (Havasi et al. 2021, arXiv 2010.06610): in a step every row meets all submodels, not one of them."""

import math
from contextlib import ExitStack

from torch import Tensor, nn

from models.layers import count, layers, tiled


def repeated(network: nn.Module, inputs: Tensor) -> Tensor:
    """Every submodel's answer to rows [B, …], [N·B, …]: row n·B + b is row b in submodel n.

    The first masked layer repeats its rows, so what comes before it is computed once. For networks in which no value
    passes that layer by, as it would in residual blocks and U-Nets.

    Raises:
        ValueError: the network has no submodels to repeat rows for.
        RuntimeError: torch's, about sizes: some value passes the first masked layer by.
    """
    masked, submodels = layers(network).values(), count(network)
    if not masked:
        raise ValueError("repeat: expected a network with masks")
    begun: list[nn.Module] = []

    def repeat(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if begun:
            return None
        begun.append(layer)
        return tuple(rows.repeat(submodels, *[1] * (rows.ndim - 1)) for rows in given)

    with ExitStack() as stack:
        for layer in masked:
            stack.enter_context(layer.register_forward_pre_hook(repeat))
        stack.enter_context(tiled(network))
        answers: Tensor = network(inputs)
        return answers


def mean_prediction(answers: Tensor, submodels: int) -> Tensor:
    """The logarithm of the submodels' mean probabilities, [B, K, …], from the logits [N·B, K, …] of `repeated`."""
    logs: Tensor = answers.log_softmax(1).unflatten(0, (submodels, -1))
    return logs.logsumexp(0) - math.log(submodels)
