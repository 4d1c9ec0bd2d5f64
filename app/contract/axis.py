"""Axes of free size: which sizes each of them takes."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from app.contract.contract_model import ContractModel

MOST_VALUES = 2**26
"""Most values in a row of the largest size: what the contract claims is run once before the model is trusted."""


class Padding(ContractModel):
    """How rows of several sizes become one batch: the shorter ones are filled up, and the network ignores that."""

    fill: dict[str, float] = Field(default_factory=dict)
    """What inputs are filled with, by name; with 0 where it says nothing."""
    mark: str | None = None
    """The input of type bool, int32 or int64 that is 1 where an entry is real and 0 where it is padding. A request may
    leave it out: all its entries are real."""


class FreeAxis(ContractModel):
    """The sizes of an axis that a request chooses."""

    least: Annotated[int, Field(ge=1)]
    most: Annotated[int, Field(ge=1, le=2**20)]
    multiple_of: Annotated[int, Field(ge=1)] = 1
    padding: Padding | None = None
    """Of a sequence's axis: requests of several sizes share a batch."""

    def takes(self, size: int) -> bool:
        """Whether an axis may have that size."""
        return self.least <= size <= self.most and size % self.multiple_of == 0

    @property
    def expected(self) -> str:
        """The sizes in words, for messages."""
        return f"{self.least} to {self.most}" + (f" and a multiple of {self.multiple_of}" * (self.multiple_of > 1))

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least must not be above most, got {self.least} and {self.most}")
        if self.least % self.multiple_of or self.most % self.multiple_of:
            raise ValueError(
                f"least and most must be multiples of {self.multiple_of}, got {self.least} and {self.most}"
            )
        return self


Axes = dict[str, FreeAxis]
"""By the letter that stands for their size in a tensor's shape."""


def letter_of(size: int | str) -> str | None:
    """The letter in an axis such as H or H/8; None of a number."""
    return size[0] if isinstance(size, str) else None


def divisor_of(size: str) -> int:
    """What an axis such as H/8 divides its letter's size by."""
    return int(size[2:] or 1)
