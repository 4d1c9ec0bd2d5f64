"""Figures of an evaluation that are drawn rather than read: how far confidence can be trusted, and what is gained by
leaving the doubtful rows out. Numbers are rounded to five digits."""

from typing import Annotated

from pydantic import Field

from app.contract.contract_model import ContractModel, Fraction, Parts, Score


class ReliabilityBin(ContractModel):
    """What came true of the answers whose confidence lies in one of 15 bins of equal width; bins without any are left
    out."""

    count: Annotated[int, Field(ge=1)]
    """Rows; of a dense head cells; of labels that are each on or off, pairs of a row or cell and a label."""
    confidence: Fraction
    """Mean probability of the predicted class; of labels, of being on."""
    accuracy: Fraction
    """Share that is right; of labels, that is on."""


class RiskPoint(ContractModel):
    """The error that is left where only the rows with the lowest scores are answered, or with the highest
    `confidence`."""

    coverage: Fraction
    """Share of the rows that is answered. Rows with equal scores share their errors."""
    risk: Fraction
    """Share of wrong answers among them; of a dense head the mean share of their cells, or labels of cells, that is."""


class ErrorPoint(ContractModel):
    """The same for a regressor."""

    coverage: Fraction
    rmse: tuple[Annotated[float, Field(ge=0)], ...]
    """Of each target, in its unit, among the rows that are answered."""


class LevelCoverage(ContractModel):
    """How many true values lie in the central interval that should hold the share `level` of them, by the mixture of
    the submodels' normal distributions."""

    level: Fraction
    coverage: tuple[Fraction, ...]
    """Of each target."""


Reliability = Parts[ReliabilityBin]
"""By ascending confidence."""
RiskCoverage = dict[Score, Parts[RiskPoint]]
"""By ascending coverage, for `entropy` and for each score that the head's policy names."""
