"""What all parts of a contract have in common: they are immutable and reject unknown fields."""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field

Score = Literal["confidence", "entropy", "expected_entropy", "mutual_information", "energy"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Part = TypeVar("Part")
Parts = Annotated[tuple[Part, ...], FailFast()]
"""Parts of which the first that is wrong is the last that is read: errors of half a million take gigabytes."""


class ContractModel(BaseModel):
    """Base of the parts of a contract."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
