"""A model's answers to labelled rows: one pass through onnxruntime, from which all figures are computed. No torch
here."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

from app.contract.schema import Contract
from models import runtime
from models.data import Split
from models.data.corrupted import Corrupted
from models.data.dataset import Lazy

Outputs = Mapping[str, NDArray[Any]]
"""Every output of a contract [B, …] by its name."""


@dataclass(frozen=True)
class Answers:
    """The outputs of B rows, and their true labels."""

    outputs: Outputs
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)


AnsweredCorruptions = Iterable[tuple[str, int, Answers]]
"""Kind, severity, and the answers to the rows corrupted that way."""


class Respondent:
    """A model in a session of its own, on this machine's fastest device."""

    def __init__(self, model: onnx.ModelProto, contract: Contract) -> None:
        self._session: onnxruntime.InferenceSession = runtime.session(model, runtime.where(model))
        self._names = [tensor.name for tensor in contract.outputs]

    def outputs(self, inputs: NDArray[Any] | Lazy) -> Outputs:
        """Outputs of rows [B, …] without labels."""
        return runtime.run_session(self._session, inputs, self._names)

    def answer(self, split: Split) -> Answers:
        """Answers to labelled rows."""
        return Answers(self.outputs(split.inputs), split.labels)

    def answer_corrupted(self, corrupted: Corrupted) -> Iterator[tuple[str, int, Answers]]:
        """Answers to one corruption after the other; only one is held in memory at a time."""
        for kind, severity, split in corrupted:
            yield kind, severity, self.answer(split)
