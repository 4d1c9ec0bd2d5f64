"""The inputs of a request as they are read, one after the other: which there are, and what they must have in common."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from app.api.marks import complete
from app.contract.schema import Contract
from app.contract.tensor import Tensor
from app.engine.row_shapes import Feeds
from app.errors import InvalidInput

Read = Callable[[Tensor, str], NDArray[Any]]
"""Reads one input [B, …], given what the contract says of it and the field to name in errors."""

_FIELD = "inputs"


class InputRows:
    """The inputs of one request.

    Args:
        contract: of the model.
        most: most rows.
    """

    def __init__(self, contract: Contract, most: int) -> None:
        self.contract = contract
        self.most = most
        self._found: Feeds = {}
        self.sizes: dict[str, int] = {}
        """Of B and of free axes, by letter, as far as inputs were read."""

    def add(self, name: str | None, read: Read) -> None:
        """Reads an input; the only one may come without its name.

        Raises:
            InvalidInput: there is no such input, it came before, or has another number of rows than those before; or
                what `read` raises.
        """
        field = _FIELD if name is None else f"{_FIELD}.{name[:100]}"
        given = self._named(name, field)
        if given.name in self._found:
            raise InvalidInput("expected once", field)
        values = read(given, field)
        rows = self.sizes.setdefault("B", len(values))
        if len(values) != rows:
            raise InvalidInput(f"expected {rows} rows, as many as the other inputs have, got {len(values)}", field)
        self._found[given.name] = values

    def _named(self, name: str | None, field: str) -> Tensor:
        inputs = self.contract.inputs
        if name is None and len(inputs) == 1:  # nearly every request
            return inputs[0]
        for given in inputs:
            if given.name == name:
                return given
        there = f"there are: {', '.join(given.name for given in inputs)}"
        raise InvalidInput(
            f"expected each input by its name; {there}" if name is None else f"unknown input; {there}", field
        )

    def misfit(self, given: Tensor, sizes: Sequence[int]) -> tuple[int, str] | None:
        """See `Contract.misfit`; free axes have the same size on all inputs."""
        return self.contract.misfit(given, sizes, self.sizes)

    def whole(self) -> Feeds:
        """All inputs, in the contract's order.

        Raises:
            InvalidInput: one is missing.
        """
        inputs = self.contract.inputs
        found = complete(self.contract, self._found)
        if len(found) < len(inputs):
            name = next(given.name for given in inputs if given.name not in found)
            raise InvalidInput("expected this input, too", f"{_FIELD}.{name}" if len(inputs) > 1 else _FIELD)
        return found
