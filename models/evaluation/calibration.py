"""Fits what held-out rows can tell: one temperature for all submodels, the quantiles of each score, and what can be
promised of new rows.

Works on the artefact's own outputs, so a finished file can be recalibrated without its network. No torch here.

One half of the rows fits the temperature, the other half makes the promises, as theirs is only kept for rows that
decided nothing before; the quantiles are those of all rows. The halves are drawn, always the same way: data in which
every second row is of one class would else be split by class.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from math import exp, log

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from app.contract.calibration import Calibration, Threshold
from app.contract.contract_model import Score
from app.contract.schema import Contract
from app.contract.tasks import TaskName
from models import artefact
from models.data import Split
from models.data.dataset import shuffled
from models.evaluation import conformal
from models.evaluation.conformal import COVERAGES, INTERVALS, RISKS
from models.evaluation.evaluation import Floats, check_rows, log_mean_probability, log_mixture

_LOWEST, _HIGHEST = 0.05, 20.0
"""Of what logits, or standard deviations, are scaled by."""

Rows = NDArray[np.int64]


def calibrate(
    model: onnx.ModelProto,
    contract: Contract,
    data: str,
    split: Split,
    *,
    coverages: Sequence[float] | None = None,
    risks: Sequence[float] | None = None,
) -> Calibration:
    """Fits the temperature on a split and sets it in the artefact; then measures the scores and makes the promises.

    Args:
        data: names the split.
        coverages: of thresholds, prediction sets and intervals; by default those of `models.evaluation.conformal`.
        risks: of thresholds of a classifier; the same.

    Of a regressor that predicts no variance there is no temperature and no score. Its intervals follow from how far its
    submodels differ, and are left out where they don't, as in a single network.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
        ValueError: coverages or risks that cannot be promised.
    """
    check_promises(contract.task, coverages, risks)
    check_rows(contract, split)
    order = shuffled(len(split), seed=0)
    fitting, rest = order[::2], order[1::2]
    covered = COVERAGES if coverages is None else coverages
    if contract.task == "classification":
        return _classifier(model, contract, data, split, fitting, rest, covered, RISKS if risks is None else risks)
    held = INTERVALS if coverages is None else coverages
    return _regressor(model, contract, data, split, fitting, rest, covered, held)


def check_promises(task: TaskName, coverages: Sequence[float] | None, risks: Sequence[float] | None) -> None:
    """Holds what is to be promised against what can be, before anything is computed.

    Raises:
        ValueError: a number is not strictly between 0 and 1 or there twice, or there are risks for a regressor.
    """
    if task == "regression" and risks is not None:
        raise ValueError("risks: a regressor's answers are neither right nor wrong, give coverages alone")
    conformal.check_shares("coverages", coverages or ())
    conformal.check_shares("risks", risks or ())


def _classifier(
    model: onnx.ModelProto,
    contract: Contract,
    data: str,
    split: Split,
    fitting: Rows,
    rest: Rows,
    coverages: Sequence[float],
    risks: Sequence[float],
) -> Calibration:
    labels = split.labels
    logits = artefact.run(model, split.inputs, ["logits"])["logits"]
    temperature = artefact.set_temperature(model, fit_temperature(logits[fitting], labels[fitting]))
    names = ["prediction", "probabilities", *(name for name in contract.scores if name != "confidence")]
    found = artefact.run(model, split.inputs, names)
    wrong, truth = found["prediction"] != labels, found["probabilities"][np.arange(len(labels)), labels]
    of_rows = contract.score_values(found)
    return Calibration(
        data=data,
        rows=len(split),
        temperature=temperature,
        nll_before=_nll(logits, labels, 1.0),
        nll_after=_nll(logits, labels, temperature),
        quantiles=_quantiles(of_rows),
        thresholds=_thresholds(of_rows, rest, wrong, coverages, risks),
        prediction_sets=conformal.prediction_sets(truth[rest], coverages),
    )


def _regressor(
    model: onnx.ModelProto,
    contract: Contract,
    data: str,
    split: Split,
    fitting: Rows,
    rest: Rows,
    coverages: Sequence[float],
    of_intervals: Sequence[float],
) -> Calibration:
    truth, temperature, before, after = split.labels, 1.0, None, None
    if contract.has_temperature:
        artefact.set_temperature(model, 1.0)
        raw = artefact.run(model, split.inputs, ["submodels", "submodel_variances"])
        means, variances = raw["submodels"], raw["submodel_variances"]
        fitted = fit_variance_factor(truth[fitting], means[fitting], variances[fitting])
        temperature = artefact.set_temperature(model, fitted)
        before, after = (float(-log_mixture(truth, means, t * variances).mean()) for t in (1.0, temperature))
    found = artefact.run(model, split.inputs, ["prediction", "variance", *contract.scores])
    errors = np.abs(truth.astype(np.float64) - found["prediction"])
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.where(errors == 0, 0, errors / np.sqrt(found["variance"].astype(np.float64)))
    of_rows = contract.score_values(found)
    return Calibration(
        data=data,
        rows=len(split),
        temperature=temperature,
        nll_before=before,
        nll_after=after,
        quantiles=_quantiles(of_rows),
        thresholds=_thresholds(of_rows, rest, None, coverages, ()),
        intervals=conformal.intervals(distances[rest], of_intervals),
    )


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature shared by all submodels that minimises the NLL of the averaged probability.

    logits [B, N, K], labels [B]. Scaling the submodels and not their mean keeps H[p̄] = E[H] + MI
    (Rahaman & Thiery 2021, arXiv 2007.08792, on why the average must be what is fitted). Between 0.05 and 20.
    """
    return _minimum(lambda temperature: _nll(logits, labels, temperature), _LOWEST, _HIGHEST)


def fit_variance_factor(truth: Floats, means: Floats, variances: Floats) -> float:
    """The factor on all predicted variances that minimises the NLL of the mixture of the submodels.

    True values [B, D], means and variances [B, N, D]. Between 0.05² and 20².
    """
    return _minimum(
        lambda factor: float(-log_mixture(truth, means, factor * variances.astype(np.float64)).mean()),
        _LOWEST**2,
        _HIGHEST**2,
    )


def _minimum(loss: Callable[[float], float], lowest: float, highest: float) -> float:
    found = minimize_scalar(
        lambda exponent: loss(exp(exponent)),
        bounds=(log(lowest), log(highest)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return exp(float(found.x))


def _nll(logits: Floats, labels: NDArray[np.int64], temperature: float) -> float:
    return float(-log_mean_probability(logits, temperature)[np.arange(len(labels)), labels].mean())


def _thresholds(
    of_rows: dict[Score, Floats],
    rest: Rows,
    wrong: NDArray[np.bool_] | None,
    coverages: Sequence[float],
    risks: Sequence[float],
) -> tuple[Threshold, ...]:
    found = (
        conformal.thresholds(name, values[rest], None if wrong is None else wrong[rest], coverages, risks)
        for name, values in of_rows.items()
    )
    return tuple(chain.from_iterable(found))


def _quantiles(of_rows: dict[Score, Floats]) -> dict[Score, tuple[float, ...]]:
    return {name: _table(values) for name, values in of_rows.items()}


def _table(values: Floats) -> tuple[float, ...]:
    table = np.quantile(values.astype(np.float64), np.linspace(0, 1, 101))
    return tuple(float(f"{value:.7g}") for value in np.maximum.accumulate(table))
