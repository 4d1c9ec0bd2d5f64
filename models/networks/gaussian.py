"""A regressor's network: for each target the mean and the variance of a normal distribution.

Follows Nix & Weigend 1994 and Lakshminarayanan et al. 2017 (arXiv 1612.01474, section 2.2).
"""

import torch
from torch import Tensor, nn

_LOWEST, _HIGHEST = -10.0, 10.0
"""Bounds of ln variance, in squared standard deviations of the target: exp stays far from float32's limits."""


class Gaussian(nn.Module):
    """[B, …] → [B, 2·D]: D means in units of the targets, then D logarithms of variances in their squares.

    Inputs are standardised before `network`, and its outputs are scaled back to the targets' units after it, with the
    means and standard deviations of the training rows (see `fit`).
    """

    input_mean: Tensor
    input_std: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, targets: int, input_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.network = network
        self.targets = targets
        for name in ("input_mean", "mean"):
            self.register_buffer(name, torch.zeros(input_shape if name == "input_mean" else (targets,)))
        for name in ("input_std", "std"):
            self.register_buffer(name, torch.ones(input_shape if name == "input_std" else (targets,)))

    def fit(self, inputs: Tensor, labels: Tensor) -> None:
        """Takes means and standard deviations from training rows, [B, …] and [B, D]."""
        # a constant column has a standard deviation of 0
        self.input_mean, self.input_std = inputs.mean(dim=0), inputs.std(dim=0).clamp(min=1e-6)
        self.mean, self.std = labels.mean(dim=0), labels.std(dim=0).clamp(min=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        found = self.network((x - self.input_mean) / self.input_std)
        mean, log_variance = found[:, : self.targets], found[:, self.targets :].clamp(_LOWEST, _HIGHEST)
        return torch.cat([mean * self.std + self.mean, log_variance + 2 * self.std.log()], dim=1)

    def loss(self, found: Tensor, labels: Tensor) -> Tensor:
        """Mean negative log-likelihood in nats, of standardised targets, without the constant ½ ln 2π."""
        error = (labels - found[:, : self.targets]) / self.std
        log_variance = found[:, self.targets :] - 2 * self.std.log()
        return 0.5 * (log_variance + error.square() / log_variance.exp()).mean()
