"""A small regressor as a file: 2 submodels, 2 targets, with variances and scores or without."""

from pathlib import Path

import numpy as np
import onnx

from app.contract import schema
from app.contract.calibration import Calibration, Interval
from app.contract.policy import Policy
from app.contract.tasks import regression
from app.contract.tensor import Tensor
from models import artefact, runtime

_HEAD = '<ir_version: 10, opset_import: ["" : 20]>'
_MEANS = """
    flat = MatMul(input, weights)
    submodels = Reshape(flat, shape)
    prediction = ReduceMean<keepdims = 0>(submodels, one)
    middle = ReduceMean<keepdims = 1>(submodels, one)
    off = Sub(submodels, middle)
    squared = Mul(off, off)
    epistemic_variance = ReduceMean<keepdims = 0>(squared, one)
"""
_VARIANCES = """
    logs = MatMul(input, spreads)
    flat_spread = Exp(logs)
    scaled = Mul(flat_spread, temperature)
    submodel_variances = Reshape(scaled, shape)
    aleatoric_variance = ReduceMean<keepdims = 0>(submodel_variances, one)
    variance = Add(epistemic_variance, aleatoric_variance)
    rounded = Mul(variance, two_pi_e)
    logarithm = Log(rounded)
    half = Mul(logarithm, a_half)
    entropy = ReduceSum<keepdims = 0>(half, one)
    rounded_each = Mul(submodel_variances, two_pi_e)
    logarithm_each = Log(rounded_each)
    half_each = Mul(logarithm_each, a_half)
    each = ReduceSum<keepdims = 0>(half_each, two)
    expected_entropy = ReduceMean<keepdims = 0>(each, one)
    mutual_information = Sub(entropy, expected_entropy)
"""
_WEIGHTS = """
    float[3, 4] weights = {1, 0.5, 0.8, 0.7, -1, 2, -1.2, 1.5, 0.25, 0, 0.5, 0.1},
    float[3, 4] spreads = {-2, -1, -2.5, -1, 0.5, 0, 0.2, 0.1, -4, -4, -4, -4},
    int64[3] shape = {-1, 2, 2}, int64[1] one = {1}, int64[1] two = {2},
    float temperature = {1.5}, float two_pi_e = {17.0794684}, float a_half = {0.5}
"""
ROWS = np.random.default_rng(5).random((400, 3), np.float32)


def regressor(*, aleatoric: bool, policy: Policy | None = None) -> tuple[onnx.ModelProto, schema.Contract]:
    """The file and its contract, calibrated on ROWS."""
    outputs = regression.outputs(aleatoric)
    contract = schema.Contract(
        task="regression",
        method="masksembles",
        num_submodels=2,
        inputs=(Tensor(name="input", dtype="float32", shape=("B", 3), unit="feature", range=(0, 1)),),
        outputs=outputs,
        targets=(schema.Target(name="price", unit="euro"), schema.Target(name="weight", unit="kg")),
        origin=schema.Origin(created="2026-01-01T00:00:00Z", software={}),
    )
    sizes = [", ".join("B" if size is None else str(size) for size in contract.sizes(tensor)) for tensor in outputs]
    shown = ", ".join(f"float[{size}] {tensor.name}" for size, tensor in zip(sizes, outputs))
    nodes = _MEANS + (_VARIANCES if aleatoric else "variance = Identity(epistemic_variance)")
    model = onnx.parser.parse_model(f"{_HEAD} regressor (float[B, 3] input) => ({shown}) <{_WEIGHTS}> {{ {nodes} }}")
    found = runtime.run(model, ROWS, contract.scores) if contract.scores else {}
    calibration = Calibration(
        data="random", rows=len(ROWS), temperature=1.5, nll_before=1, nll_after=1,
        quantiles={name: tuple(np.quantile(values, np.linspace(0, 1, 101)).tolist()) for name, values in found.items()},
        intervals=(
            Interval(coverage=0.8, factors=(1.2, 1.3), rows=len(ROWS)),
            Interval(coverage=0.9, factors=(1.6, 1.7), rows=len(ROWS)),
        ),
    )  # fmt: skip
    return model, contract.model_copy(update={"calibration": calibration, "policy": policy})


def store(folder: Path, name: str, *, aleatoric: bool, policy: Policy | None = None) -> None:
    """Writes it as the next version of a model."""
    model, contract = regressor(aleatoric=aleatoric, policy=policy)
    artefact.embed(model, contract)
    artefact.write(model, folder, name)
