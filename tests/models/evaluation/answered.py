"""Heads, and what their graphs gave for two rows: the same as those whose answers the service writes."""

from app.contract.tensor import Tensor
from tests import graphs
from tests.app.api.predict.answering import CLASSES, INTERVALS, NUMBERS, SETS, calibration

__all__ = ["CLASSES", "CLASSIFIER", "CONTRACT", "INTERVALS", "NUMBERS", "REGRESSOR", "SETS", "calibration"]

CONTRACT = graphs.classifier(Tensor(name="input", dtype="float32", shape=("B", 2), unit="feature"), "ab", 2)[1]
"""Of two classes, uncalibrated."""
CLASSIFIER = CONTRACT.head.model_copy(update={"calibration": calibration(prediction_sets=SETS)})
REGRESSOR = graphs.regressor(aleatoric=True)[1].head.model_copy(
    update={"calibration": calibration(intervals=INTERVALS)}
)
