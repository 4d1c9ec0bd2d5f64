"""One head of a model in onnxruntime: its outputs, a few rows after the other. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from models import progress, runtime
from models.evaluation.grids import grid_sizes, letter_sizes

_VALUES_AT_ONCE = 2**23
"""Of the largest output of a run: 32 MB."""


class HeadSession:
    """A model in a session of its own, on this machine's fastest device; of its outputs those of one head."""

    def __init__(self, model: onnx.ModelProto, contract: Contract, head: Head) -> None:
        self._session = runtime.session(model, runtime.where(model))
        self._contract, self._head = contract, head

    def run(self, inputs: runtime.Inputs, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Outputs for all rows, by plain name; of a dense head they may be large."""
        parts = [found for _, found in self.run_in_parts(inputs, outputs)]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    def run_in_parts(
        self, inputs: runtime.Inputs, outputs: Sequence[str]
    ) -> Iterator[tuple[slice, dict[str, NDArray[Any]]]]:
        """Which rows, and outputs for them by plain name, a few rows after the other."""
        names, total = [self._head.graph_name(name) for name in outputs], _count(inputs)
        for rows, found in runtime.run_in_parts(self._session, inputs, names, self._rows_at_once(inputs)):
            progress.count(min(rows.stop, total), total)
            yield rows, dict(zip(outputs, found.values()))

    def _rows_at_once(self, inputs: runtime.Inputs) -> int:
        named = inputs if isinstance(inputs, Mapping) else {self._contract.given.name: inputs}
        cells = prod(grid_sizes(self._head, letter_sizes(self._contract, named)))
        answers = max(len(self._head.labels), len(self._head.targets))
        return min(runtime.ROWS_AT_ONCE, max(1, _VALUES_AT_ONCE // (cells * answers * self._contract.num_submodels)))


def _count(inputs: runtime.Inputs) -> int:
    return len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)
