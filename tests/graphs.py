"""Small models as ONNX graphs, made without torch: a classifier and a multilabel model of one linear layer, and a
regressor of 2 targets.

What the contract says of a head's outputs is computed in the graph by its formulas, so that what a service answers can
be held against them.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract import schema
from app.contract.axis import Axes
from app.contract.calibration import Calibration, Interval
from app.contract.head import Head, Target
from app.contract.policy import Policy
from app.contract.tasks import classification, regression
from app.contract.tasks import multilabel as multilabels
from app.contract.tensor import Tensor
from tests import artefacts

ROWS = np.random.default_rng(5).random((400, 3), np.float32)
"""What the regressor was calibrated on."""

_HEADER = '<ir_version: 10, opset_import: ["" : 20]>'
ORIGIN = schema.Origin(created="2026-01-01T00:00:00Z", software={})

_CLASSIFIER = """
    flat = Flatten<axis = 1>(scaled)
    product = MatMul(flat, weight)
    logits = Reshape(product, shape)
    tempered = Div(logits, temperature)
    log_each = LogSoftmax<axis = -1>(tempered)
    submodels = Exp(log_each)
    probabilities = ReduceMean<keepdims = 0>(submodels, axis_n)
    prediction = ArgMax<axis = -1, keepdims = 0>(probabilities)
    log_sum = ReduceLogSumExp<keepdims = 1>(log_each, axis_n)
    log_mean = Sub(log_sum, log_n)
    log_flat = Squeeze(log_mean, axis_n)
    surprise = Mul(probabilities, log_flat)
    negative = ReduceSum<keepdims = 0>(surprise, axis_k)
    unbounded = Neg(negative)
    entropy = Clip(unbounded, zero, log_k)
    surprise_each = Mul(submodels, log_each)
    negative_each = ReduceSum<keepdims = 0>(surprise_each, axis_k)
    negative_mean = ReduceMean<keepdims = 0>(negative_each, axis_n)
    unbounded_mean = Neg(negative_mean)
    expected_entropy = Clip(unbounded_mean, zero, log_k)
    apart = Sub(log_each, log_mean)
    weighted = Mul(submodels, apart)
    divergence_each = ReduceSum<keepdims = 0>(weighted, axis_k)
    divergence = ReduceMean<keepdims = 0>(divergence_each, axis_n)
    mutual_information = Clip(divergence, zero, log_least)
    free_each = ReduceLogSumExp<keepdims = 0>(logits, axis_k)
    free = ReduceMean<keepdims = 0>(free_each, axis_n)
    energy = Neg(free)
"""

_MULTILABEL = """
    flat = MatMul(input, weight)
    logits = Reshape(flat, shape)
    tempered = Div(logits, temperature)
    submodels = Sigmoid(tempered)
    probabilities = ReduceMean<keepdims = 0>(submodels, axis_n)
    on = Greater(probabilities, half)
    prediction = Cast<to = 7>(on)
    off_each = Sub(unit, submodels)
    log_on_each = Log(submodels)
    log_off_each = Log(off_each)
    of_on_each = Mul(submodels, log_on_each)
    of_off_each = Mul(off_each, log_off_each)
    sum_each = Add(of_on_each, of_off_each)
    entropy_each = Neg(sum_each)
    expected_entropy = ReduceMean<keepdims = 0>(entropy_each, axis_n)
    off_mean = Sub(unit, probabilities)
    log_on = Log(probabilities)
    log_off = Log(off_mean)
    of_on = Mul(probabilities, log_on)
    of_off = Mul(off_mean, log_off)
    sum = Add(of_on, of_off)
    entropy = Neg(sum)
    difference = Sub(entropy, expected_entropy)
    mutual_information = Relu(difference)
"""

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


def classifier(
    given: Tensor,
    labels: Sequence[str],
    submodels: int = 1,
    method: schema.Method = "masksembles",
    axes: Axes | None = None,
) -> tuple[onnx.ModelProto, schema.Contract]:
    """An uncalibrated classifier of rows of that kind, and its contract.

    Each submodel has a linear layer of its own, of small random weights; uint8 is divided by 255 first, and free axes
    are averaged over.
    """
    contract = schema.Contract(
        method=method,
        num_submodels=submodels,
        inputs=(given,),
        axes=axes or {},
        heads=(Head(labels=tuple(labels), outputs=classification.outputs()),),
        origin=ORIGIN,
    )
    N, K = submodels, len(labels)
    features = math.prod(size for size in given.shape if isinstance(size, int))
    weight = np.random.default_rng(0).normal(0, 0.2, (features, N * K)).astype(np.float32)
    before = "scaled = Identity(input)"
    if given.dtype == "uint8":
        before = "cast = Cast<to = 1>(input) scaled = Div(cast, most)"
    if axes:
        before = before.replace("scaled =", "whole =") + " scaled = ReduceMean<keepdims = 1>(whole, free_axes)"
    model = parsed("classifier", contract, before + _CLASSIFIER)
    used = {name for node in model.graph.node for name in node.input}
    for name, values in {
        "weight": weight,
        "temperature": np.float32(1),
        "shape": np.array([-1, N, K]),
        "axis_n": np.array([1]),
        "free_axes": np.array([axis for axis, size in enumerate(given.shape) if size in contract.axes]),
        "axis_k": np.array([-1]),
        "zero": np.float32(0),
        "most": np.float32(255),
        "log_n": np.float32(math.log(N)),
        "log_k": _below(math.log(K)),
        "log_least": _below(math.log(min(N, K))),
    }.items():
        if name in used:
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    return model, contract


def multilabel(labels: Sequence[str] = ("red", "round", "ripe")) -> tuple[onnx.ModelProto, schema.Contract]:
    """A multilabel model of 2 submodels and rows of 3 features, uncalibrated; its logits are moderate, so that plain
    formulas do."""
    contract = schema.Contract(
        method="masksembles",
        num_submodels=2,
        inputs=(Tensor(name="input", dtype="float32", shape=("B", 3), unit="feature", range=(0, 1)),),
        heads=(Head(task="multilabel", labels=tuple(labels), outputs=multilabels.outputs()),),
        origin=ORIGIN,
    )
    model = parsed("multilabel", contract, _MULTILABEL)
    for name, values in {
        "weight": np.random.default_rng(2).normal(0, 2, (3, 2 * len(labels))).astype(np.float32),
        "temperature": np.float32(1),
        "shape": np.array([-1, 2, len(labels)]),
        "axis_n": np.array([1]),
        "half": np.float32(0.5),
        "unit": np.float32(1),
    }.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    return model, contract


def regressor(*, aleatoric: bool, policy: Policy | None = None) -> tuple[onnx.ModelProto, schema.Contract]:
    """A regressor of 2 submodels and 2 targets, with variances and scores or without, calibrated on ROWS."""
    targets = (Target(name="price", unit="euro"), Target(name="weight", unit="kg"))
    contract = schema.Contract(
        method="masksembles",
        num_submodels=2,
        inputs=(Tensor(name="input", dtype="float32", shape=("B", 3), unit="feature", range=(0, 1)),),
        heads=(Head(task="regression", targets=targets, outputs=regression.outputs(aleatoric)),),
        origin=ORIGIN,
    )
    variances = _VARIANCES if aleatoric else "variance = Identity(epistemic_variance)"
    model = parsed("regressor", contract, _MEANS + variances, _WEIGHTS)
    scores = contract.head.scores
    found = artefacts.run(model, ROWS, scores) if scores else {}
    calibration = Calibration(
        data="random", rows=len(ROWS), temperature=1.5, nll_before=1, nll_after=1,
        quantiles={name: tuple(np.quantile(values, np.linspace(0, 1, 101)).tolist()) for name, values in found.items()},
        intervals=(
            Interval(coverage=0.8, factors=(1.2, 1.3), rows=len(ROWS)),
            Interval(coverage=0.9, factors=(1.6, 1.7), rows=len(ROWS)),
        ),
    )  # fmt: skip
    return model, contract.with_head(contract.head, calibration=calibration, policy=policy)


def parsed(name: str, contract: schema.Contract, nodes: str, initializers: str = "", dot: str = ".") -> onnx.ModelProto:
    """A graph with the inputs and outputs that its contract declares.

    Args:
        dot: what stands for a dot in names, which the parser does not know.
    """

    def port(tensor: Tensor) -> str:
        kind = "float" if tensor.dtype == "float32" else tensor.dtype
        sizes = ", ".join(str(size).replace("/", "_") for size in tensor.shape)
        return f"{kind}[{sizes}] {tensor.name.replace('.', dot)}"

    inputs, outputs = (", ".join(map(port, tensors)) for tensors in (contract.inputs, contract.outputs))
    constants = f"<{initializers}>" if initializers else ""
    body = nodes if dot == "." else re.sub(r"(?<=[a-z])\.(?=[a-z])", dot, nodes)
    return onnx.parser.parse_model(f"{_HEADER} {name} ({inputs}) => ({outputs}) {constants} {{ {body} }}")


def _below(value: float) -> NDArray[np.float32]:
    """As float32, and not above it whichever way that is rounded."""
    return np.asarray(max(np.nextafter(np.float32(value), np.float32(-1)), np.float32(0)))
