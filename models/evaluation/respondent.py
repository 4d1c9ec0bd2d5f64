"""One head of a model, answering rows through onnxruntime. No torch here."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from models import runtime
from models.data import Split
from models.data.corrupted import Corrupted
from models.evaluation.answers import Answers, Outputs
from models.evaluation.grids import grid_sizes, letter_sizes
from models.evaluation.tasks import evaluator_of

_VALUES_AT_ONCE = 2**23
"""Of the largest output of a run: 32 MB."""


class Respondent:
    """A model in a session of its own, on this machine's fastest device; rows are answered by one of its heads."""

    def __init__(self, model: onnx.ModelProto, contract: Contract, head: Head) -> None:
        self._session = runtime.session(model, runtime.where(model))
        self._contract, self._head, self._evaluator = contract, head, evaluator_of(head)
        self._names = [head.graph_name(tensor.name) for tensor in head.outputs]

    def outputs(self, inputs: runtime.Inputs) -> Outputs:
        """What is kept of the outputs of rows [B, …] without labels."""
        return self._kept(inputs, None)

    def answer(self, split: Split) -> Answers:
        """Answers to labelled rows."""
        labels = split.labels_of(self._head)
        return Answers(self._kept(split.inputs, labels), labels)

    def answer_corrupted(self, corrupted: Corrupted) -> Iterator[tuple[str, int, Answers]]:
        """Answers to one corruption after the other; only one is held in memory at a time."""
        for kind, severity, split in corrupted:
            yield kind, severity, self.answer(split)

    def _kept(self, inputs: runtime.Inputs, labels: NDArray[Any] | None) -> Outputs:
        parts = [
            self._evaluator.keep(self._head, self._head.own(found), None if labels is None else labels[rows])
            for rows, found in runtime.run_in_parts(self._session, inputs, self._names, self._rows_at_once(inputs))
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _rows_at_once(self, inputs: runtime.Inputs) -> int:
        named = inputs if isinstance(inputs, Mapping) else {self._contract.given.name: inputs}
        cells = prod(grid_sizes(self._head, letter_sizes(self._contract, named)))
        answers = max(len(self._head.labels), len(self._head.targets))
        return min(runtime.ROWS_AT_ONCE, max(1, _VALUES_AT_ONCE // (cells * answers * self._contract.num_submodels)))
