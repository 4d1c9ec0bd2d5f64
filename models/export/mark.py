"""The operation that stands in a traced graph where masks apply."""

import torch
from torch import Tensor, nn


# an operation of our own: tracing cannot look inside, so that a mask stays one node
@torch.library.custom_op("masksembles::mark", mutates_args=())
def mark(x: Tensor, masks: Tensor) -> Tensor:
    """Marks where masks [N, C] or [N, C, …] apply to x [B, C, …]; the passes replace it."""
    # an operation of torch.library may not return its input
    return x.clone()


@mark.register_fake
def _(x: Tensor, masks: Tensor) -> Tensor:
    # torch.export runs on shapes alone
    return torch.empty_like(x)


class Mark(nn.Module):
    """Takes the place of a Masksembles layer while a network is traced."""

    def __init__(self, masks: Tensor) -> None:
        super().__init__()
        self.register_buffer("masks", masks)

    def forward(self, x: Tensor) -> Tensor:
        return mark(x, self.masks)  # type: ignore[no-any-return]


MARK = torch.ops.masksembles.mark.default
"""The operation as a graph names it."""
