"""A head's answers to labelled rows, from which all figures are computed. No torch here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[Any]]
"""What is kept of a head's outputs [B, …], by plain name."""


@dataclass(frozen=True)
class Answers:
    """The outputs of B rows, and their true labels."""

    outputs: Outputs
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)


AnsweredCorruptions = Iterable[tuple[str, int, Answers]]
"""Kind, severity, and the answers to the rows corrupted that way."""
