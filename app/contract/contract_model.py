"""What all parts of a contract have in common: they are immutable and reject unknown fields."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Score = Literal["confidence", "entropy", "expected_entropy", "mutual_information", "energy"]
Fraction = Annotated[float, Field(ge=0, le=1)]


class ContractModel(BaseModel):
    """Base of the parts of a contract."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
