"""One head of a model that answers rows: what is kept of its outputs for figures and guarantees. No torch here."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from models.data import Split
from models.data.corrupted import Corrupted
from models.evaluation.answers import Answers, Outputs
from models.evaluation.head_session import HeadSession
from models.evaluation.tasks import evaluator_of
from models.runtime import Inputs


class Respondent:
    """Answers rows by one head of a model."""

    def __init__(self, model: onnx.ModelProto, contract: Contract, head: Head) -> None:
        self._session, self._head, self._evaluator = HeadSession(model, contract, head), head, evaluator_of(head)

    def outputs(self, inputs: Inputs) -> Outputs:
        """What is kept of the outputs of rows [B, …] without labels."""
        return self._kept(inputs, lambda rows, found: self._evaluator.keep(self._head, found, None))

    def answer(self, split: Split) -> Answers:
        """Answers to labelled rows, for figures."""
        return self._answers(split, self._evaluator.keep)

    def answer_to_guarantee(self, split: Split) -> Answers:
        """Answers to labelled rows, for thresholds, sets and intervals."""
        return self._answers(split, self._evaluator.keep_losses)

    def answer_corrupted(self, corrupted: Corrupted) -> Iterator[tuple[str, int, Answers]]:
        """Answers to one corruption after the other; only one is held in memory at a time."""
        for kind, severity, split in corrupted:
            yield kind, severity, self.answer(split)

    def _answers(self, split: Split, keep: Callable[[Head, Outputs, NDArray[Any]], Outputs]) -> Answers:
        labels = split.labels_of(self._head)
        return Answers(self._kept(split.inputs, lambda rows, found: keep(self._head, found, labels[rows])), labels)

    def _kept(self, inputs: Inputs, keep: Callable[[slice, Outputs], Outputs]) -> Outputs:
        names = [tensor.name for tensor in self._head.outputs]
        parts = [keep(rows, found) for rows, found in self._session.run_in_parts(inputs, names)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
