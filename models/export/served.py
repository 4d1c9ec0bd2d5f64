"""A network as it is served: rows in natural units in, every output of its heads out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from app.contract.head import Head
from models.export.heads import TASKS


class Served(nn.Module):
    """Wraps the body of a graph of N submodels: natural units [B, …] in, everything in float32 out.

    Args:
        body: [B, …] → [N·B, …], submodel-major.
        preprocess: see `models.export.preprocess`.

    The temperature of a head is a buffer that becomes a named initializer of the file.
    """

    def __init__(self, body: nn.Module, submodels: int, preprocess: nn.Module, heads: Sequence[Head] = ()) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.body = body
        self.submodels = submodels
        self.heads = tuple(heads)
        self.outputs = tuple(head.graph_name(tensor.name) for head in heads for tensor in head.outputs)
        """The names of the outputs, in order."""
        self.temperatures = {_buffer(head): head.temperature_name for head in heads if head.has_temperature}
        """The buffers of the temperatures, with their names in the file."""
        # The exporter drops a division by 1 and merges equal constants; the file's temperatures are set afterwards.
        for index, buffer in enumerate(self.temperatures):
            self.register_buffer(buffer, torch.tensor(1.6180340 + index / 7))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → the outputs."""
        (head,) = self.heads
        temperature = getattr(self, _buffer(head)) if head.has_temperature else None
        return TASKS[head.task].outputs(head, self.body(self.preprocess(x)), self.submodels, temperature)


def _buffer(head: Head) -> str:
    return f"temperature_of_{head.name}" if head.name else "temperature"
