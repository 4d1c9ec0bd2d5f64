"""Fits what a held-out split can tell: one temperature for all submodels, and the quantiles of each score.

Works on the artefact's own outputs, so a finished file can be recalibrated without its network. No torch here.
"""

from math import exp, log

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from app.contract.schema import Calibration, Contract, Score
from models import artefact
from models.data import Split
from models.evaluate import Floats, check_rows, log_mean_probability

_LOWEST, _HIGHEST = 0.05, 20.0
_SCORES: tuple[Score, ...] = ("entropy", "expected_entropy", "mutual_information", "energy")


def calibrate(model: onnx.ModelProto, contract: Contract, data: str, split: Split) -> Calibration:
    """Fits the temperature on a split, sets it in the artefact, and measures the scores' quantiles with it.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
    """
    check_rows(contract, split)
    logits = artefact.run(model, split.inputs, ["logits"])["logits"]
    temperature = artefact.set_temperature(model, fit_temperature(logits, split.labels))
    found = artefact.run(model, split.inputs, ["probabilities", *_SCORES])
    scores: dict[Score, Floats] = {"confidence": found["probabilities"].max(axis=-1)}
    scores.update((name, found[name]) for name in _SCORES)
    return Calibration(
        data=data,
        rows=len(split),
        temperature=temperature,
        nll_before=_nll(logits, split.labels, 1.0),
        nll_after=_nll(logits, split.labels, temperature),
        quantiles={name: _quantiles(values) for name, values in scores.items()},
    )


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature shared by all submodels that minimises the NLL of the averaged probability.

    logits [B, N, K], labels [B]. Scaling the submodels and not their mean keeps H[p̄] = E[H] + MI
    (Rahaman & Thiery 2021, arXiv 2007.08792, on why the average must be what is fitted). Between 0.05 and 20.
    """
    found = minimize_scalar(
        lambda exponent: _nll(logits, labels, exp(exponent)),
        bounds=(log(_LOWEST), log(_HIGHEST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return exp(float(found.x))


def _nll(logits: Floats, labels: NDArray[np.int64], temperature: float) -> float:
    return float(-log_mean_probability(logits, temperature)[np.arange(len(labels)), labels].mean())


def _quantiles(values: Floats) -> tuple[float, ...]:
    table = np.quantile(values.astype(np.float64), np.linspace(0, 1, 101))
    return tuple(float(f"{value:.7g}") for value in np.maximum.accumulate(table))
