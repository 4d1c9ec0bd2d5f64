"""The plain torch loop over the masks, which every plan is compared with."""

from collections.abc import Sequence

import torch
from torch import nn

from models.artefact import ArtefactError
from models.export.verification.task import Raw
from models.given import Tensors, each
from models.layers import submodels_by_head


class VerificationError(ArtefactError):
    """An artefact does not answer as the network it was made from."""


def torch_loop(network: nn.Module, parts: Sequence[Tensors]) -> list[Raw]:
    """The outputs [B, N, …] of a network, head by head, computed one part of the rows at a time."""
    with torch.no_grad():
        answers = [submodels_by_head(network, *each(part)) for part in parts]
    return [torch.cat(head, dim=1).transpose(0, 1).numpy() for head in zip(*answers, strict=True)]
