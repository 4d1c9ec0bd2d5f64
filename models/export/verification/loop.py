"""The plain torch loop over the masks, which every plan is compared with."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.artefact import ArtefactError
from models.export.verification.task import Raw
from models.layers import submodels


class VerificationError(ArtefactError):
    """An artefact does not answer as the network it was made from."""


def torch_loop(network: nn.Module, parts: Sequence[Tensor]) -> Raw:
    """The outputs [B, N, …] of a network, computed one part of the rows at a time."""
    with torch.no_grad():
        return torch.cat([submodels(network, part) for part in parts], dim=1).permute(1, 0, 2).numpy()
