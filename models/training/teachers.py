"""Distillation (Hinton et al. 2015, arXiv 1503.02531): a network learns what others answer instead of the labels."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers import submodels
from models.training.recipe import Recipe


class Teachers:
    """Networks that were trained before, for the training of another one.

    In a step each row is answered by one of them. Rows come in a new order in each epoch and cross-entropy is linear in
    its target, so what is learnt is the mean of all, for the price of one.

    Args:
        networks: as many as the recipe counts. Those with submodels teach the mean of them.

    Raises:
        ValueError: there are more or fewer, or the recipe's task is not classification.
    """

    def __init__(self, recipe: Recipe, networks: Sequence[nn.Module], device: torch.device) -> None:
        if len(networks) != recipe.teachers:
            raise ValueError(f"teachers: the recipe expects {recipe.teachers}, got {len(networks)}")
        if networks and recipe.task != "classification":
            raise ValueError(f"teachers: expected a classification, got a {recipe.task}")
        self._networks = [network.to(device).eval() for network in networks]
        for network in self._networks:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as fast as the learner
        self._repeats = recipe.repeats
        self.digest = _digest(networks)

    def targets(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """What rows [B, …] should be answered: probabilities [N·B, K, …] of teacher b mod M for row b, or without
        teachers their labels; N times if the recipe repeats rows."""
        targets = self._answers(inputs) if self._networks else labels
        return targets.repeat(self._repeats, *[1] * (targets.ndim - 1))

    def _answers(self, inputs: Tensor) -> Tensor:
        many = len(self._networks)
        with torch.no_grad():
            each = [
                submodels(network, inputs[index::many]).softmax(2).mean(0)
                for index, network in enumerate(self._networks[: len(inputs)])
            ]
        answers = each[0].new_empty(len(inputs), *each[0].shape[1:])
        for index, some in enumerate(each):
            answers[index::many] = some
        return answers


def _digest(networks: Sequence[nn.Module]) -> str:
    """SHA-256 of all weights, in order; "" without networks."""
    sha = hashlib.sha256()
    for network in networks:
        for name, value in network.state_dict().items():
            sha.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest() if networks else ""
