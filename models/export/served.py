"""A network as it is served: rows in natural units in, every output of its heads out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.contract.head import Head
from models.export.axes import Dims
from models.export.heads import TASKS
from models.given import each, rows_of


class Served(nn.Module):
    """Wraps the body of a graph of N submodels: natural units [B, …] in, everything in float32 out.

    Args:
        body: inputs [B, …] → [N·B, …] of each head, submodel-major.
        preprocess: see `models.export.preprocess`.
        inputs: the names of the inputs, in order.

    The temperature of a head is a buffer that becomes a named initializer of the file.
    """

    def __init__(
        self,
        body: nn.Module,
        submodels: int,
        preprocess: nn.Module,
        heads: Sequence[Head] = (),
        inputs: Sequence[str] = ("input",),
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.body = body
        self.submodels = submodels
        self.heads = tuple(heads)
        self.inputs = tuple(inputs)
        self.outputs = tuple(head.graph_name(tensor.name) for head in heads for tensor in head.outputs)
        """The names of the outputs, in order."""
        self.temperatures = {_buffer(head): head.temperature_name for head in heads if head.has_temperature}
        """The buffers of the temperatures, with their names in the file."""
        # The exporter drops a division by 1 and merges equal constants; the file's temperatures are set afterwards.
        for index, buffer in enumerate(self.temperatures):
            self.register_buffer(buffer, torch.tensor(1.6180340 + index / 7))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → the outputs of one head after the other."""
        raws = each(self.body(*each(self.preprocess(*inputs))))
        found: list[Tensor] = []
        for head, raw in zip(self.heads, raws, strict=True):
            temperature = self.get_buffer(_buffer(head)) if head.has_temperature else torch.ones(())
            found += TASKS[head.task].outputs(head, raw, self.submodels, temperature)
        return tuple(found)


@dataclass(frozen=True)
class Interface:
    """What stands around the body of a graph, whatever its plan."""

    preprocess: nn.Module
    """See `models.export.preprocess`."""
    rows: Mapping[str, Tensor]
    """Inputs [B, …] in natural units, by name, in the order of the network's arguments."""
    heads: Sequence[Head]
    free: Sequence[Dims] = ()
    """The axes of free size, of each input."""

    def example(self) -> tuple[Tensor, ...]:
        """Two rows as the body takes them."""
        return each(self.preprocess(*rows_of(tuple(self.rows.values()), slice(2))))

    def around(self, body: nn.Module, submodels: int) -> Served:
        """The whole graph."""
        return Served(body, submodels, self.preprocess, self.heads, list(self.rows))


def _buffer(head: Head) -> str:
    return f"temperature_of_{head.name.replace('-', '_')}" if head.name else "temperature"
