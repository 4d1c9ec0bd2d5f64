"""The signature of a graph: its inputs and outputs by name, for whoever speaks of tensors and not of models."""

from pydantic import BaseModel, ConfigDict

from app.contract.schema import Contract
from app.contract.tensor import Tensor

Size = int | str | None
"""Of an axis: fixed, a name for all axes that have the same size, or None where nothing is known."""


class Port(BaseModel):
    """An input or output: its dtype as NumPy calls it (`str` for text)."""

    model_config = ConfigDict(frozen=True)

    name: str
    dtype: str
    sizes: tuple[Size, ...]


class Signature(BaseModel):
    """Inputs and outputs in the order of the graph."""

    model_config = ConfigDict(frozen=True)

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def of(contract: Contract) -> Signature:
    """What a contract says of its graph."""

    def port(tensor: Tensor) -> Port:
        sizes = contract.sizes(tensor)
        return Port(name=tensor.name, dtype=tensor.dtype, sizes=("B", *sizes[1:]))

    return Signature(inputs=tuple(map(port, contract.inputs)), outputs=tuple(map(port, contract.outputs)))
