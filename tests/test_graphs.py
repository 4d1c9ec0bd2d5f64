"""The graphs that tests serve give what the contract says of a head's outputs, held against NumPy in float64."""

import numpy as np
import onnx
import pytest

from app.contract.tensor import Tensor
from tests import artefacts, graphs


def features(size: int) -> Tensor:
    return Tensor(name="input", dtype="float32", shape=("B", size), unit="feature")


@pytest.mark.parametrize("submodels", [1, 3])
def test_a_classifier_s_outputs_follow_from_its_logits(submodels: int) -> None:
    model, contract = graphs.classifier(features(4), "abcde", submodels)
    onnx.checker.check_model(model, full_check=True)
    rows = np.random.default_rng(0).normal(0, 8, (50, 4)).astype(np.float32)
    found = artefacts.run(model, rows, [tensor.name for tensor in contract.outputs])
    z = found["logits"].astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    mean = p.mean(axis=1)
    entropy = -(mean * np.log(mean)).sum(axis=-1)
    expected_entropy = -(p * np.log(p)).sum(axis=-1).mean(axis=-1)
    for name, expected in {
        "prediction": mean.argmax(axis=-1),
        "probabilities": mean,
        "submodels": p,
        "entropy": entropy,
        "expected_entropy": expected_entropy,
        "mutual_information": entropy - expected_entropy,
        "energy": -np.log(np.exp(z).sum(axis=-1)).mean(axis=-1),
    }.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    assert np.ptp(z, axis=1).max() > 0 or submodels == 1


def test_a_temperature_divides_the_logits() -> None:
    model, _ = graphs.classifier(features(4), "abc")
    (temperature,) = (tensor for tensor in model.graph.initializer if tensor.name == "temperature")
    temperature.CopyFrom(onnx.numpy_helper.from_array(np.float32(4) * np.ones((), np.float32), "temperature"))
    found = artefacts.run(model, np.eye(4, dtype=np.float32), ["submodels", "logits", "energy"])
    p = np.exp(found["logits"] / 4)
    np.testing.assert_allclose(found["submodels"], p / p.sum(axis=-1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(found["energy"], -np.log(np.exp(found["logits"]).sum(axis=-1))[:, 0], rtol=1e-5)


def test_a_regressor_s_outputs_follow_from_its_submodels() -> None:
    model, contract = graphs.regressor(aleatoric=True)
    found = artefacts.run(model, graphs.ROWS, [tensor.name for tensor in contract.outputs])
    means, variances = (found[name].astype(np.float64) for name in ("submodels", "submodel_variances"))
    variance = means.var(axis=1) + variances.mean(axis=1)
    entropy = 0.5 * np.log(2 * np.pi * np.e * variance).sum(axis=-1)
    expected_entropy = 0.5 * np.log(2 * np.pi * np.e * variances).sum(axis=-1).mean(axis=-1)
    for name, expected in {
        "prediction": means.mean(axis=1),
        "variance": variance,
        "epistemic_variance": means.var(axis=1),
        "aleatoric_variance": variances.mean(axis=1),
        "entropy": entropy,
        "expected_entropy": expected_entropy,
        "mutual_information": entropy - expected_entropy,
    }.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
