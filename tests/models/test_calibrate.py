from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from models import artefact
from models.calibrate import calibrate, fit_temperature
from models.data import Dataset, DatasetError, Split


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_recovers_a_known_temperature(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4, 5))
    probabilities = softmax(logits, axis=-1).mean(axis=1)
    labels = (probabilities.cumsum(axis=-1) > rng.random((len(logits), 1))).argmax(axis=-1)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_extreme_logits_stay_within_bounds() -> None:
    logits = np.array([[[1e4, -1e4]], [[-1e4, 1e4]]])
    assert 0.05 <= fit_temperature(logits, np.array([0, 1])) <= 20
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(20, rel=0.01)


def test_sets_the_temperature_in_the_graph(digits_store: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_store, "digits")
    halved = Split(digits.calibration.inputs[:150], digits.calibration.labels[:150])
    found = calibrate(model, contract, "half", halved)
    assert found.rows == 150
    assert found.temperature != contract.temperature
    outputs = artefact.run(model, halved.inputs, ["probabilities", "logits", "entropy"])
    expected = softmax(outputs["logits"].astype(np.float64) / found.temperature, axis=-1).mean(axis=1)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)
    assert found.nll_after <= found.nll_before
    table = found.quantiles["entropy"]
    assert table[50] == pytest.approx(np.median(outputs["entropy"]), rel=1e-5)
    assert (table[0], table[-1]) == pytest.approx((outputs["entropy"].min(), outputs["entropy"].max()), rel=1e-5)
    assert all(list(values) == sorted(values) for values in found.quantiles.values())


def test_labels_beyond_the_classes_are_named(tiny_store: Path, rows: Split) -> None:
    model, contract, _ = artefact.read(tiny_store, "tiny")
    with pytest.raises(DatasetError, match="labels: expected 0 to 2 for the model's 3 classes, got 1 to 3"):
        calibrate(model, contract, "mine", Split(rows.inputs, rows.labels + 1))


def test_rows_that_do_not_fit_the_contract_are_named(digits_store: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_store, "digits")
    x, y = digits.calibration.inputs, digits.calibration.labels
    for split, message in (
        (Split(x[:0], y[:0]), "no rows"),
        (Split(x, y[:200]), "a whole number for each of the 300 rows, got int64"),
        (Split(x, y.astype(np.float64)), "a whole number for each of the 300 rows, got float64"),
        (Split(torch.from_numpy(x), y), "inputs: expected a NumPy array, got Tensor"),
        (Split(x * 255, y), r"expected finite values in \[0, 1\] \(grey value\), got 0 to 255"),
        (Split(np.where(x > 0.5, np.nan, x).astype(np.float32), y), "expected finite values"),
        (Split(x[:, 0], y), r"expected float32 \['B', 1, 8, 8\], got float32 \[300, 8, 8\]"),
        (Split((x * 255).astype(np.uint8), y), r"got uint8 \[300, 1, 8, 8\]"),
    ):
        with pytest.raises(DatasetError, match=message):
            calibrate(model, contract, "mine", split)
