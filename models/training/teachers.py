"""Distillation (Hinton et al. 2015, arXiv 1503.02531): a network learns what others answer instead of the labels."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers import submodels
from models.training.recipe import Recipe

_OWN = 0.5
"""The weight of a submodel's own teacher, beside the mean of all."""


class Teachers:
    """Networks that were trained before, for the training of another one.

    Where the recipe repeats rows, each submodel has a teacher of its own (Hydra, Tran et al. 2020, arXiv 2001.04694),
    so that submodels differ as their teachers do: it learns the mean of that teacher's answer and that of all.

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
        """What rows [B, …] should be answered: probabilities [N·B, K, …], or their labels where there are no teachers,
        N times if the recipe repeats rows."""
        if not self._networks:
            return labels.repeat(self._repeats, *[1] * (labels.ndim - 1))
        with torch.no_grad():
            answers = torch.stack([submodels(network, inputs).softmax(2).mean(0) for network in self._networks])
        mean = answers.mean(0)
        if self._repeats == 1:
            return mean
        own = [answers[index % len(answers)] for index in range(self._repeats)]
        return torch.cat([_OWN * answer + (1 - _OWN) * mean for answer in own])


def _digest(networks: Sequence[nn.Module]) -> str:
    """SHA-256 of all weights, in order; "" without networks."""
    sha = hashlib.sha256()
    for network in networks:
        for name, value in network.state_dict().items():
            sha.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest() if networks else ""
