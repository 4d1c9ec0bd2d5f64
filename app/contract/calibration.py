"""What held-out rows show about a model: its temperature, where its scores lie, and what holds for new rows."""

from typing import Annotated, Literal

from pydantic import Field

from app.contract.contract_model import ContractModel, Fraction, Parts, Score


class Threshold(ContractModel):
    """Up to where a score was found acceptable; for `confidence`, down to where."""

    score: Score
    guarantee: Literal["coverage", "risk"]
    """`coverage`: a new row of the same kind lies within with at least the probability `target` (marginally; the
    ⌈(n + 1)·target⌉-th smallest of n scores). `risk`: with the probability `confidence_level`, at most the share
    `target` of the rows within is answered wrongly (Clopper–Pearson bound, Bonferroni over the levels tried). Of a
    dense head: at most the share `target` of the cells of the rows within, on average over those rows (Learn-then-Test,
    Angelopoulos et al. 2021, arXiv 2110.01052, with the betting bound of Waudby-Smith & Ramdas, arXiv 2010.09686)."""
    target: Fraction
    value: float
    rows: Annotated[int, Field(ge=1)]
    """Rows on which it was found; none of them took part in fitting the temperature."""
    coverage: Fraction
    """Share of these rows within the threshold."""
    risk: Fraction | None = None
    """Share of wrong answers among the rows within; absent for regressors. An answer of several labels is wrong if any
    of them is; one of a dense head as far as its cells are."""
    confidence_level: Fraction | None = None


class PredictionSet(ContractModel):
    """Which classes to name so that the true one is among them with at least the probability `coverage`: the most
    probable one, and all whose mean probability is `least_probability` or more.

    Split conformal prediction with the score 1 − p̄_y and the (n + 1)-correction (Sadinle et al. 2019, arXiv
    1609.00451). The guarantee is marginal, over rows like those of the calibration.

    Of a multilabel model: all labels whose mean probability is `least_probability` or more, so that a row's set holds
    on average at least the share `coverage` of its true labels; a row without any loses none. Conformal risk control of
    the false negative rate (Angelopoulos et al. 2022, arXiv 2208.02814), as marginal.

    Of a dense head each cell has a set, and a row's sets hold the true class on average in at least the share
    `coverage` of its cells; of a dense multilabel head, the same share of its true pairs of cell and label. Conformal
    risk control as well: cells of one row are not independent, so nothing is promised for a single cell.
    """

    coverage: Fraction
    least_probability: Fraction
    rows: Annotated[int, Field(ge=1)]


class Interval(ContractModel):
    """How wide an interval must be to hold the true value with at least the probability `coverage`: prediction ±
    `factors` · √variance, one factor for each of the D targets.

    Split conformal prediction with the score |y − prediction| / √variance and the (n + 1)-correction (Lei et al. 2018,
    arXiv 1604.04173). The guarantee is marginal, for each target by itself. Of a dense head it is for rows: on average
    at least the share `coverage` of a row's cells (conformal risk control, as for `PredictionSet`).
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
    thresholds: Parts[Threshold] = ()
    prediction_sets: Parts[PredictionSet] = ()
    intervals: Parts[Interval] = ()
    warnings: Parts[str] = ()
    """What these rows could hardly bear, in words."""
