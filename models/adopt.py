"""Takes a network as it was trained and returns one that the export can read: all masks in our own layers."""

import copy

import torch
from torch import nn

from models.layers import count


def adopt(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, in float32 on the CPU, masks kept exactly. The network itself is not touched.

    Raises:
        ValueError: its Masksembles layers disagree about the number of submodels.
    """
    adopted = copy.deepcopy(network).to(device="cpu", dtype=torch.float32).eval().requires_grad_(False)
    count(adopted)
    return adopted
