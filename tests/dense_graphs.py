"""Small models of other shapes as ONNX graphs, made without torch: maps of classes and of numbers, several inputs and
heads, and sequences that are padded."""

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract import schema
from app.contract.axis import FreeAxis, Padding
from app.contract.head import Head, Target
from app.contract.tasks import classification, regression
from app.contract.tensor import Tensor
from tests.graphs import ORIGIN, parsed

Loaded = tuple[onnx.ModelProto, schema.Contract]

N, K = 2, 3
LABELS = ("sky", "sea", "land")
WEIGHT = np.array([[4, -2, 0.5], [3, 1, -2]], np.float32)
"""[N, K]: the logits of a cell are its value times this, plus BIAS."""
BIAS = np.array([[-1, 1, 0], [-2, 0.5, 1]], np.float32)
MAP_AXES = {"H": FreeAxis(least=8, most=64, multiple_of=8), "W": FreeAxis(least=8, most=96, multiple_of=8)}
PICTURE = Tensor(name="input", dtype="uint8", shape=("B", 1, "H", "W"), unit="pixel", layout="BCHW", colour="grey")

# of logits [B, N, K, …] with the axes of a grid after K; {p} stands before each name
_CLASSES = """
    {p}tempered = Div({p}logits, {p}temperature)
    {p}log_each = LogSoftmax<axis = 2>({p}tempered)
    {p}submodels = Exp({p}log_each)
    {p}probabilities = ReduceMean<keepdims = 0>({p}submodels, one)
    {p}prediction = ArgMax<axis = 1, keepdims = 0>({p}probabilities)
    {p}log_mean = Log({p}probabilities)
    {p}surprise = Mul({p}probabilities, {p}log_mean)
    {p}negative = ReduceSum<keepdims = 0>({p}surprise, one)
    {p}entropy = Neg({p}negative)
    {p}surprise_each = Mul({p}submodels, {p}log_each)
    {p}negative_each = ReduceSum<keepdims = 0>({p}surprise_each, two)
    {p}negative_mean = ReduceMean<keepdims = 0>({p}negative_each, one)
    {p}expected_entropy = Neg({p}negative_mean)
    {p}apart = Sub({p}entropy, {p}expected_entropy)
    {p}mutual_information = Relu({p}apart)
    {p}free_each = ReduceLogSumExp<keepdims = 0>({p}logits, two)
    {p}free = ReduceMean<keepdims = 0>({p}free_each, one)
    {p}energy = Neg({p}free)
"""
_ROWS = """
    confidence = ReduceMax<keepdims = 0>(probabilities, one)
    row_confidence = ReduceMean<keepdims = 0>(confidence, cells)
    row_entropy = ReduceMean<keepdims = 0>(entropy, cells)
    row_expected_entropy = ReduceMean<keepdims = 0>(expected_entropy, cells)
    row_mutual_information = ReduceMean<keepdims = 0>(mutual_information, cells)
    row_energy = ReduceMean<keepdims = 0>(energy, cells)
    members = OneHot<axis = 1>(prediction, classes, off_on)
    row_shares = ReduceMean<keepdims = 0>(members, cells_of_classes)
"""


def segmentation() -> Loaded:
    """Classes for each pixel of pictures of any size: the logits follow from its brightness alone."""
    head = Head(labels=LABELS, grid=("H", "W"), outputs=classification.outputs(("H", "W")))
    contract = _contract((PICTURE,), (head,), MAP_AXES)
    nodes = """
        cast = Cast<to = 1>(input)
        scaled = Div(cast, white)
        cell = Unsqueeze(scaled, one)
        weighted = Mul(cell, weight)
        logits = Add(weighted, bias)
    """
    model = parsed("segmentation", contract, nodes + _CLASSES.format(p="") + _ROWS)
    return _with(model, {
        "white": np.float32(255), "weight": WEIGHT[None, :, :, None, None], "bias": BIAS[None, :, :, None, None],
        "temperature": np.float32(1), "one": [1], "two": [2], "cells": [1, 2], "cells_of_classes": [2, 3],
        "classes": K, "off_on": np.array([0, 1], np.float32),
    }), contract  # fmt: skip


def density() -> Loaded:
    """Numbers for each patch of 4 × 4 pixels: how bright it is, by two submodels of which one says twice as much."""
    grid = ("H/4", "W/4")
    target = Target(name="people", unit="1")
    head = Head(task="regression", targets=(target,), grid=grid, outputs=regression.outputs(False, grid))
    contract = _contract((PICTURE,), (head,), MAP_AXES)
    nodes = """
        cast = Cast<to = 1>(input)
        scaled = Div(cast, white)
        pooled = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(scaled)
        one_target = Unsqueeze(pooled, one)
        submodels = Mul(one_target, factors)
        prediction = ReduceMean<keepdims = 0>(submodels, one)
        middle = ReduceMean<keepdims = 1>(submodels, one)
        off = Sub(submodels, middle)
        squared = Mul(off, off)
        epistemic_variance = ReduceMean<keepdims = 0>(squared, one)
        variance = Identity(epistemic_variance)
        row_prediction = ReduceMean<keepdims = 0>(prediction, cells)
        row_submodels = ReduceMean<keepdims = 0>(submodels, cells_of_submodels)
    """
    model = parsed("density", contract, nodes)
    return _with(model, {
        "white": np.float32(255), "factors": np.array([1, 2], np.float32).reshape(1, 2, 1, 1, 1), "one": [1],
        "cells": [2, 3], "cells_of_submodels": [3, 4],
    }), contract  # fmt: skip


def two_heads() -> Loaded:
    """A picture of 2 × 2 pixels and a table row of 3 numbers → a kind of three, and a price."""
    inputs = (
        Tensor(name="picture", dtype="uint8", shape=("B", 1, 2, 2), unit="pixel", layout="BCHW", colour="grey"),
        Tensor(name="table", dtype="float32", shape=("B", 3), unit="feature", range=(-10, 10)),
    )
    kind = Head(name="kind", labels=LABELS, outputs=classification.outputs())
    price = Head(
        name="price", task="regression", targets=(Target(name="price", unit="euro"),), outputs=regression.outputs(False)
    )
    contract = _contract(inputs, (kind, price))
    nodes = """
        cast = Cast<to = 1>(picture)
        scaled = Div(cast, white)
        flat = Flatten<axis = 1>(scaled)
        joined = Concat<axis = 1>(flat, table)
        of_kind = MatMul(joined, kinds)
        kind.logits = Reshape(of_kind, shape)
        of_price = MatMul(joined, prices)
        price.submodels = Reshape(of_price, shape_of_price)
        price.prediction = ReduceMean<keepdims = 0>(price.submodels, one)
        middle = ReduceMean<keepdims = 1>(price.submodels, one)
        off = Sub(price.submodels, middle)
        squared = Mul(off, off)
        price.epistemic_variance = ReduceMean<keepdims = 0>(squared, one)
        price.variance = Identity(price.epistemic_variance)
    """
    draw = np.random.default_rng(3)
    model = _parsed_with_dots("two_heads", contract, nodes + _CLASSES.format(p="kind."))
    return _with(model, {
        "white": np.float32(255), "kinds": draw.normal(0, 1, (7, N * K)).astype(np.float32),
        "prices": draw.normal(0, 1, (7, N)).astype(np.float32), "shape": [-1, N, K], "shape_of_price": [-1, N, 1],
        "kind.temperature": np.float32(1), "one": [1], "two": [2],
    }), contract  # fmt: skip


SEQUENCE_AXES = {"T": FreeAxis(least=1, most=24, padding=Padding(fill={"ids": 9}, mark="real"))}
EMBEDDING = np.random.default_rng(4).normal(0, 1, (10, N * K)).astype(np.float32)
"""[tokens, N · K]: the logits of a sequence are the mean over its real tokens."""


def tokens() -> Loaded:
    """Classes for sequences of up to 24 tokens of ten, padded with the last of them."""
    inputs = (
        Tensor(name="ids", dtype="int64", shape=("B", "T"), unit="token", range=(0, 9)),
        Tensor(name="real", dtype="bool", shape=("B", "T"), unit="1 where an entry is real"),
    )
    head = Head(labels=LABELS, outputs=classification.outputs())
    contract = _contract(inputs, (head,), SEQUENCE_AXES)
    nodes = """
        embedded = Gather(embedding, ids)
        marks = Cast<to = 1>(real)
        columns = Unsqueeze(marks, two)
        kept = Mul(embedded, columns)
        sum = ReduceSum<keepdims = 0>(kept, one)
        count = ReduceSum<keepdims = 0>(columns, one)
        mean = Div(sum, count)
        logits = Reshape(mean, shape)
    """
    model = parsed("tokens", contract, nodes + _CLASSES.format(p=""))
    return _with(model, {
        "embedding": EMBEDDING, "temperature": np.float32(1), "shape": [-1, N, K], "one": [1], "two": [2]
    }), contract  # fmt: skip


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Those of N submodels, from logits [B, N, K, …]."""
    z = logits.astype(np.float64)
    exp = np.exp(z - z.max(axis=2, keepdims=True))
    return np.asarray(exp / exp.sum(axis=2, keepdims=True))


def _contract(
    inputs: tuple[Tensor, ...], heads: tuple[Head, ...], axes: dict[str, FreeAxis] | None = None
) -> schema.Contract:
    return schema.Contract(
        method="masksembles", num_submodels=N, inputs=inputs, heads=heads, axes=axes or {}, origin=ORIGIN
    )


def _parsed_with_dots(name: str, contract: schema.Contract, nodes: str) -> onnx.ModelProto:
    """A graph whose names have dots, which the parser does not know."""
    model = parsed(name, contract, nodes, dot="__")
    for part in (model.graph.input, model.graph.output):
        for value in part:
            value.name = value.name.replace("__", ".")
    for node in model.graph.node:
        node.input[:] = [one.replace("__", ".") for one in node.input]
        node.output[:] = [one.replace("__", ".") for one in node.output]
    return model


def _with(model: onnx.ModelProto, initializers: dict[str, object]) -> onnx.ModelProto:
    for name, values in initializers.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    return model
