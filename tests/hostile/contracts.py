"""Contracts that are too long, too deep, or no JSON that means one thing."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.hostile.file import Hostile, honest
from tests.hostile.wire import field


def with_contract(make: Callable[[], str | bytes]) -> bytes:
    """The honest model with another contract."""
    text = make()
    model = honest()
    del model.metadata_props[:]
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return model.SerializeToString() + field(14, field(1, b"masksembles") + field(2, content))


def _contract(**changes: Any) -> str:
    document = json.loads(honest().metadata_props[0].value)
    return json.dumps({**document, **changes})


def _head(**changes: Any) -> str:
    (head,) = json.loads(honest().metadata_props[0].value)["heads"]
    return _contract(heads=[{**head, **changes}])


def _with_recipe(text: str) -> str:
    return _contract(origin={"created": "x", "software": {}, "recipe": {"x": "HERE"}}).replace('"HERE"', text)


def files() -> Iterator[Hostile]:
    texts: dict[str, tuple[Callable[[], str | bytes], str]] = {
        "long": (lambda: _with_recipe('"' + "x" * 100 * 2**20 + '"'), "at most 4194304 are read"),
        "spaces": (lambda: " " * 2**23 + _contract(), "at most 4194304 are read"),
        "deep-lists": (lambda: _with_recipe("[" * 100_000 + "]" * 100_000), "nested too deeply"),
        "deep-objects": (lambda: _with_recipe('{"a":' * 100_000 + "1" + "}" * 100_000), "nested too deeply"),
        "deep-enough": (lambda: _with_recipe("[" * 500 + "]" * 500), "recursion limit exceeded"),
        "twice": (lambda: '{"method": "single", ' + _contract()[1:], "it has 'method' twice in one object"),
        "twice-inside": (lambda: _with_recipe('{"a": 1, "a": 2}'), "it has 'a' twice in one object"),
        "1e400": (lambda: _with_recipe("1e400"), "1e400 is too large a number"),
        "digits": (lambda: _with_recipe("1" * 10_000), "too large a whole number"),
        "65-bits": (lambda: _with_recipe("36893488147419103232"), "too large a whole number"),
        "nan": (lambda: _with_recipe("NaN"), "NaN is no number"),
        "infinity": (lambda: _contract(num_submodels=1).replace('"num_submodels": 1', '"num_submodels": -Infinity'),
                     "-Infinity is no number"),
        "surrogate": (lambda: _with_recipe('"\\ud800"'), "hex escape"),
        "bytes": (lambda: b"\xff\xfe{}", "the contract is not text in UTF-8"),
        "escapes": (lambda: _contract(**{"\x1b]0;gone\x07\r\nERROR forged line\x00": 1}), r"\x1b]0;gone\x07 ERROR"),
        "long-field": (lambda: _contract(**{"y" * 1_000_000: 1}), "yyyyy"),
        "labels": (lambda: _head(labels=["x"] * 500_000), "outputs.probabilities.shape"),
        "many-labels": (lambda: _head(labels=[f"{at:x}" for at in range(400_000)]), "outputs.probabilities.shape"),
        "heads": (lambda: _contract(heads=[{}] * 500_000), "heads.0.outputs: Field required"),
        "targets": (lambda: _head(targets=[{}] * 500_000), "heads.0.targets.0.name: Field required"),
        "layers": (lambda: _contract(masks={"digest": "", "layers": [{}] * 500_000}), "masks.layers.0.scale: Field"),
        "inputs": (lambda: _contract(inputs=[{}] * 500_000), "inputs.0.name: Field required"),
        "grid": (lambda: _head(grid=["H/1"] * 500_000), "outputs must be prediction"),
        "submodels": (lambda: _contract(num_submodels=2**62), "outputs.submodels.shape"),
    }  # fmt: skip
    for name, (text, said) in texts.items():
        yield Hostile(f"contract-{name}", partial(with_contract, text), (said,))
