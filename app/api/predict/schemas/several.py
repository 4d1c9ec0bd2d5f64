"""The answer of a model with several heads."""

from typing import Literal

from pydantic import BaseModel, Field

from app.api.predict.schemas.classification import Classification
from app.api.predict.schemas.common import ModelReference
from app.api.predict.schemas.multilabel import Multilabel
from app.api.predict.schemas.regression import Regression


class SeveralReference(ModelReference):
    """The model that answered."""

    task: Literal["several"]


class ClassificationOfHead(Classification):
    """The answer of a head that is a classifier."""

    task: Literal["classification"]


class MultilabelOfHead(Multilabel):
    """The answer of a multilabel head."""

    task: Literal["multilabel"]


class RegressionOfHead(Regression):
    """The answer of a head that is a regressor."""

    task: Literal["regression"]


class HeadAnswers(BaseModel):
    """The answers to one row."""

    heads: dict[str, ClassificationOfHead | MultilabelOfHead | RegressionOfHead] = Field(
        description="By the name of the head; those that nothing was asked of are absent"
    )


class SeveralAnswer(BaseModel):
    """The answer of a model with several heads: one prediction for each row, in order."""

    id: str | None = Field(None, description="As in the request; absent where it had none")
    model: SeveralReference
    predictions: list[HeadAnswers]
