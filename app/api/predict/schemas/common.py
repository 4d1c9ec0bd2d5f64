"""What the answers of all kinds of tasks have in common."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.contract.decisions import Action, Source
from app.contract.schema import Method

GRID = "Of a dense head: how many cells it answers for along each axis"
SHARES = "Of a dense head: the share of the row's cells that each class has, or in which each label is on [K]"
MAPS = (
    "Of a dense head, the maps that were asked for by name: numbers nested as [G], or [K, G] and so on; with `maps` = "
    "`png` pictures; null of sets or intervals that the model was not calibrated for"
)

Probability = Annotated[float, Field(ge=0, le=1)]
PERCENTILES = (
    "Where each score lies among those of the calibration rows, 0 to 100, without scores that were the same on all of "
    "them; null where the model was not calibrated"
)
DECISION = "Null where nobody has a policy"


class ModelReference(BaseModel):
    """The model that answered."""

    name: str
    version: int = Field(ge=1)
    method: Method
    num_submodels: int = Field(ge=1, description="N, the number of submodels")


RECEIPT = "What was answered, signed; only when asked for by name. Send it to `/feedback` once the truth is known"


class RowDecision(BaseModel):
    """What to do with an answer, by the first rule of a policy that applies; by the last one where none does."""

    action: Action = Field(
        description="`accept`; `defer`: ambiguous, let somebody else look; `reject`: outside the model's world, "
        "don't use the answer"
    )
    score: str = Field(description="The score that the rule looks at")
    value: float = Field(description="Its value for this row")
    threshold: float = Field(description="Beyond which the rule applies; for `confidence`, below which")
    policy: Source = Field(description="Whose rule it is: the model's own, the operator's, or the request's")


class MapPicture(BaseModel):
    """A map as a PNG file: of classes, whose pixels are their indices, or of numbers, in grey or colours."""

    png: str = Field(description="In base64")
    least: float | None = Field(None, description="What the smallest pixel stands for; absent of classes")
    most: float | None = Field(None, description="What the largest pixel stands for; between them it is linear")


Maps = dict[str, MapPicture | list[Any] | None]
