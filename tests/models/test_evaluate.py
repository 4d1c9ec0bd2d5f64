from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from models import artefact
from models.data import Dataset
from models.evaluate import calibration_error, evaluate


def test_calibration_error_is_that_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(4, 0.5), 3000)
    labels = rng.integers(0, 4, 3000)
    expected = multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(labels), 4, n_bins=15)
    found = calibration_error(probabilities.max(-1), probabilities.argmax(-1) == labels)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_figures_are_those_of_the_served_outputs(digits_store: Path, digits: Dataset) -> None:
    model, contract, _ = artefact.read(digits_store, "digits")
    found = evaluate(model, contract, "digits", digits.test)
    assert found == contract.evaluation
    outputs = artefact.run(model, digits.test.inputs, ["probabilities", "submodels", "logits"])
    probabilities, labels = torch.from_numpy(outputs["probabilities"]), torch.from_numpy(digits.test.labels)
    accuracy = multiclass_accuracy(probabilities, labels, 10, average="micro")
    assert found.accuracy == pytest.approx(float(accuracy))
    assert found.nll == pytest.approx(float(F.nll_loss(probabilities.log(), labels)), rel=1e-5)
    uncalibrated = torch.from_numpy(outputs["logits"]).softmax(-1).mean(1)
    expected = multiclass_calibration_error(uncalibrated, labels, 10, n_bins=15)
    assert found.ece_uncalibrated == pytest.approx(float(expected), abs=1e-6)
    assert found.submodel_accuracy[2] == pytest.approx(
        (outputs["submodels"][:, 2].argmax(-1) == digits.test.labels).mean()
    )
