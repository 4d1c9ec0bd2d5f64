"""What held-out rows show about a model: its temperature, where its scores lie, and what holds for new rows."""

from typing import Annotated, Literal

from pydantic import Field

from app.contract.contract_model import ContractModel, Fraction, Score


class Threshold(ContractModel):
    """Up to where a score was found acceptable; for `confidence`, down to where."""

    score: Score
    guarantee: Literal["coverage", "risk"]
    """`coverage`: a new row of the same kind lies within with at least the probability `target` (marginally; the
    ⌈(n + 1)·target⌉-th smallest of n scores). `risk`: with the probability `confidence_level`, at most the share
    `target` of the rows within is answered wrongly (Clopper–Pearson bound, Bonferroni over the levels tried). Of a
    dense head, the mean share of wrong cells of the rows within is at most `target` (bound for losses from 0 to 1 by
    Waudby-Smith & Ramdas 2020, arXiv 2010.09686)."""
    target: Fraction
    value: float
    rows: Annotated[int, Field(ge=1)]
    """Rows on which it was found; none of them took part in fitting the temperature."""
    coverage: Fraction
    """Share of these rows within the threshold."""
    risk: Fraction | None = None
    """Share of wrong answers among the rows within; absent for regressors. An answer of several labels is wrong if any
    of them is; of a dense head it is the mean share of a row's cells that are wrong."""
    confidence_level: Fraction | None = None


class PredictionSet(ContractModel):
    """Which classes to name so that the true one is among them with at least the probability `coverage`: the most
    probable one, and all whose mean probability is `least_probability` or more.

    Split conformal prediction with the score 1 − p̄_y and the (n + 1)-correction (Sadinle et al. 2019, arXiv
    1609.00451). The guarantee is marginal, over rows like those of the calibration.

    Of a multilabel model: all labels whose mean probability is `least_probability` or more, so that a row's set holds
    on average at least the share `coverage` of its true labels; a row without any loses none. Conformal risk control of
    the false negative rate (Angelopoulos et al. 2022, arXiv 2208.02814), as marginal.

    Of a dense head, by the same method: a set for each cell, so that of a new row's cells, or of the true labels of all
    its cells, the sets hold on average at least the share `coverage`. Cells of one row are not independent, so nothing
    is guaranteed of a single cell.
    """

    coverage: Fraction
    least_probability: Fraction
    rows: Annotated[int, Field(ge=1)]


class Interval(ContractModel):
    """How wide an interval must be to hold the true value with at least the probability `coverage`: prediction ±
    `factors` · √variance, one factor for each of the D targets.

    Split conformal prediction with the score |y − prediction| / √variance and the (n + 1)-correction (Lei et al. 2018,
    arXiv 1604.04173). The guarantee is marginal, for each target by itself. Of a dense head, by conformal risk control
    (Angelopoulos et al. 2022, arXiv 2208.02814): intervals hold on average at least that share of a new row's cells.
    """

    coverage: Fraction
    factors: tuple[Annotated[float, Field(ge=0)], ...]
    rows: Annotated[int, Field(ge=1)]


class Calibration(ContractModel):
    """What was fitted on held-out rows: one temperature for all submodels, and where each score usually lies."""

    data: str
    rows: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(gt=0)]
    """Divides the logits; for a regressor, multiplies the predicted variances."""
    nll_before: float | None = None
    """Negative log-likelihood of the mean prediction at temperature 1, in nats; absent for a regressor that predicts no
    variance, whose temperature is 1."""
    nll_after: float | None = None
    quantiles: dict[Score, Annotated[tuple[float, ...], Field(min_length=101, max_length=101)]]
    """For each score its 0 %, 1 %, … 100 % quantiles on the calibration rows."""
    thresholds: tuple[Threshold, ...] = ()
    prediction_sets: tuple[PredictionSet, ...] = ()
    intervals: tuple[Interval, ...] = ()
    warnings: tuple[str, ...] = ()
    """What these rows could hardly bear, in words."""
