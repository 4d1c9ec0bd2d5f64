"""Models as whoever writes their answers sees them, and what their graphs gave for two rows."""

import numpy as np

from app.contract import policy
from app.contract.calibration import Calibration, Interval, PredictionSet
from app.contract.decisions import policies_for
from app.contract.percentiles import quantile_tables
from app.contract.schema import Contract
from app.engine.job import Arrays
from app.engine.model import Model
from tests import graphs
from tests.app.contract.calibrated import EVEN
from tests.app.engine.fakes import CONTRACT

SETS = (
    PredictionSet(coverage=0.9, least_probability=0.5, rows=100),
    PredictionSet(coverage=0.99, least_probability=0.2, rows=100),
)
INTERVALS = (
    Interval(coverage=0.8, factors=(1.0, 2.0), rows=100),
    Interval(coverage=0.9, factors=(2.0, 4.0), rows=100),
)


def calibration(**guarantees: tuple[PredictionSet | Interval, ...]) -> Calibration:
    return Calibration(data="held out", rows=100, temperature=1.0, quantiles={"entropy": EVEN}, **guarantees)


def calibrated(contract: Contract, **guarantees: tuple[PredictionSet | Interval, ...]) -> Contract:
    return contract.with_head(contract.head, calibration=calibration(**guarantees))


CLASSIFIER = calibrated(CONTRACT, prediction_sets=SETS)
REGRESSOR = calibrated(graphs.regressor(aleatoric=True)[1], intervals=INTERVALS)

CLASSES: Arrays = {
    "prediction": np.array([0, 1]),
    "probabilities": np.array([[0.75, 0.25], [0.375, 0.625]], np.float32),
    "submodels": np.array([[[1, 0], [0.5, 0.5]], [[0.25, 0.75], [0.5, 0.5]]], np.float32),
    "entropy": np.array([0.25, 0.5], np.float32),
    "expected_entropy": np.array([0.125, 0.5], np.float32),
    "mutual_information": np.array([0.125, 0], np.float32),
    "energy": np.array([-2, -1], np.float32),
    "logits": np.zeros((2, 2, 2), np.float32),
}
NUMBERS: Arrays = {
    "prediction": np.array([[1, 2], [3, 4]], np.float32),
    "submodels": np.array([[[0, 1], [2, 3]], [[3, 4], [3, 4]]], np.float32),
    "variance": np.array([[4, 9], [1, 0]], np.float32),
    "epistemic_variance": np.array([[1, 1], [0, 0]], np.float32),
    "aleatoric_variance": np.array([[3, 8], [1, 0]], np.float32),
    "submodel_variances": np.array([[[3, 8], [3, 8]], [[1, 0], [1, 0]]], np.float32),
    "entropy": np.array([0.25, 0.5], np.float32),
    "expected_entropy": np.array([0.25, 0.5], np.float32),
    "mutual_information": np.array([0, 0], np.float32),
}


def model_of(contract: Contract, policies: str = "") -> Model:
    """A model without sessions, under the operator's policies."""
    model = Model.__new__(Model)
    vars(model).update(
        name="a",
        version=3,
        contract=contract,
        tables={head.name: quantile_tables(head) for head in contract.heads},
        policies=policies_for(policy.parse_all(policies), "a", contract),
    )
    return model
