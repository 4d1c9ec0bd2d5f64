"""The plain torch loop over the masks, which every plan is compared with."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.artefact import ArtefactError
from models.export.verification.task import Raw
from models.layers import submodels


class VerificationError(ArtefactError):
    """An artefact does not answer as the network it was made from."""


def torch_loop(network: nn.Module, parts: Sequence[Tensor]) -> list[Raw]:
    """The outputs [B, N, …] of a network, head by head, computed one part of the rows at a time."""
    with torch.no_grad():
        answers = [submodels(network, part) for part in parts]
    return [torch.cat(answers, dim=1).transpose(0, 1).numpy()]
