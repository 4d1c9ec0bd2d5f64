from typing import Any

import numpy as np
import pytest

from app.contract.calibration import Calibration, Interval
from app.contract.head import Head, Target
from app.contract.tasks import regression

NAMES = {"plain": ("prediction", "submodels", "variance", "epistemic_variance")}


def head(*, aleatoric: bool, intervals: tuple[Interval, ...] = ()) -> Head:
    return Head(
        task="regression",
        outputs=regression.outputs(aleatoric),
        targets=(Target(name="price", unit="euro"),),
        calibration=Calibration(data="some", rows=9, temperature=1, quantiles={}, intervals=intervals),
    )


def test_scores_are_there_where_variances_are_predicted() -> None:
    assert head(aleatoric=True).scores == ("entropy", "expected_entropy", "mutual_information")
    plain = head(aleatoric=False)
    assert tuple(tensor.name for tensor in plain.outputs) == NAMES["plain"]
    assert plain.scores == ()
    assert plain.score_values({"prediction": np.zeros((2, 1))}) == {}
    assert not plain.has_temperature


def test_score_values_are_outputs_of_the_graph() -> None:
    found: dict[str, Any] = {name: np.arange(2.0) + at for at, name in enumerate(regression.SCORES)}
    values = head(aleatoric=True).score_values({**found, "variance": np.ones((2, 1))})
    assert values.keys() == found.keys()
    assert all((values[name] == found[name]).all() for name in values)


def test_an_interval_has_a_factor_for_each_target() -> None:
    with pytest.raises(ValueError, match=r"calibration.intervals.0.factors must be 1"):
        head(aleatoric=True, intervals=(Interval(coverage=0.9, factors=(1.0, 2.0), rows=9),))
