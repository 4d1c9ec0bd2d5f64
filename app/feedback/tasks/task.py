"""What feedback must know about a task; each kind of task has a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.contract.head import Head
from app.contract.tasks.task import Arrays

Truth = str | int | float | Sequence[float]
"""As a client sends it: a label, an index, a number, or D numbers."""


class Region(NamedTuple):
    """A prediction set or an interval of a target, with what it promises."""

    name: str
    coverage: float
    rows: int
    """Calibration rows on which it was found."""


class Judgement(NamedTuple):
    """What the truth says of an answer."""

    losses: Mapping[str, float]
    """By the names of the task's `losses`."""
    covered: tuple[bool, ...]
    """For each of the head's regions, whether it holds the truth."""
    wrong: bool | None = None
    """None where an answer is not right or wrong, but near or far."""
    confidence: float | None = None
    """The probability of the answer, of a classifier."""


class FeedbackTask(ABC):
    """How the answers of one kind of task are put down, and judged once the truth is known."""

    needed: tuple[str, ...]
    """The graph's outputs that receipts are made from, beside those of the scores."""

    def why_none(self, head: Head) -> str | None:
        """Why a head of this task has no receipts; None, the default, if it has."""
        return None

    @abstractmethod
    def figures(self, head: Head, found: Arrays) -> list[tuple[bytes, ...]]:
        """What a receipt holds of each row's answer, from outputs [B, …] by name."""

    @abstractmethod
    def fits(self, head: Head, figures: Sequence[bytes]) -> bool:
        """Whether a receipt's figures can be those of this head."""

    @abstractmethod
    def losses(self, head: Head) -> tuple[str, ...]:
        """The names of the losses that a judgement has."""

    @abstractmethod
    def regions(self, head: Head) -> tuple[Region, ...]:
        """The prediction sets or intervals that the head's calibration promises."""

    @abstractmethod
    def truth(self, head: Head, given: Truth) -> Any:
        """A truth that a client sent, as `judge` wants it.

        Raises:
            ValueError: it cannot be the truth of any row of this head.
        """

    @abstractmethod
    def judge(self, head: Head, figures: Sequence[bytes], truth: Any) -> Judgement:
        """Judges an answer by the truth."""
