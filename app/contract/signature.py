"""The signature of a graph: its inputs and outputs by name, for protocols that deal in tensors."""

from pydantic import BaseModel, ConfigDict

from app.contract.schema import Contract
from app.contract.tensor import Tensor

Size = int | str | None
"""Size of an axis: a number, a name shared by all axes of the same size, or None if unknown."""


class Port(BaseModel):
    """An input or output; its dtype has NumPy's name (`str` for text)."""

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
    """The signature that a contract declares."""

    def port(tensor: Tensor) -> Port:
        return Port(name=tensor.name, dtype=tensor.dtype, sizes=tensor.shape)

    return Signature(inputs=tuple(map(port, contract.inputs)), outputs=tuple(map(port, contract.outputs)))
