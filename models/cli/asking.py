"""A command line that sends one row to a running service, whatever a model's inputs are."""

import json
from collections.abc import Mapping
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.images import takes_images
from app.contract.schema import Contract
from app.contract.tensor import Tensor

ADDRESS = "http://127.0.0.1:8000/predict"
_MOST_VALUES = 128
"""Of a row that is printed as it is."""


def commands(name: str, contract: Contract, rows: Mapping[str, NDArray[Any]]) -> list[str]:
    """A command that asks a model, and another one with a picture if it takes pictures.

    Args:
        rows: [B, …] by name of the input; the first row is sent. Of inputs that are not there, values from the middle
            of their range are; so they are of rows too large to print, which Python makes on the way.
    """
    sizes = {given.name: contract.row_sizes(given, "least") for given in contract.inputs}
    row = {one.name: rows[one.name][0] if one.name in rows else _made(one, sizes[one.name]) for one in contract.inputs}
    if sum(values.size for values in row.values()) <= _MOST_VALUES:
        plain = {key: [_plain(values)] for key, values in row.items()}
        request = {"model": name, "inputs": plain if len(plain) > 1 else next(iter(plain.values()))}
        found = [f"curl {ADDRESS} --json '{json.dumps(request)}'"]
    else:
        made = {given.name: f"[{_expression(given, sizes[given.name])}]" for given in contract.inputs}
        several = ", ".join(f'"{key}": {text}' for key, text in made.items())
        inputs = f"{{{several}}}" if len(made) > 1 else next(iter(made.values()))
        code = f'import json; print(json.dumps({{"model": "{name}", "inputs": {inputs}}}))'
        found = [f"python3 -c '{code}' | curl {ADDRESS} --json @-"]
    if len(contract.inputs) == 1 and takes_images(contract.given):
        found.append(f"curl '{ADDRESS}?model={name}' -H 'Content-Type: image/png' --data-binary @picture.png")
    return found


def _plain(values: NDArray[Any]) -> Any:
    """Numbers as short as they are the same in their dtype: 0.1 and not 0.10000000149011612."""
    if values.dtype.kind != "f":
        return values.tolist()
    return [_plain(one) for one in values] if values.ndim else float(str(values[()]))


def _middle(given: Tensor) -> list[float | int | bool]:
    """A value within the range of an input, or one for each channel that has a range of its own."""
    if given.dtype == "bool":
        return [True]
    pairs = given.channel_ranges or (given.limits if isfinite(sum(given.limits)) else (0.0, 1.0),)
    middles = [(low + high) / 2 for low, high in pairs]
    return middles if given.dtype == "float32" else [int(value) for value in middles]


def _made(given: Tensor, sizes: tuple[int, ...]) -> NDArray[Any]:
    middles = np.array(_middle(given), given.dtype)
    shape = sizes if prod(sizes) <= _MOST_VALUES else (_MOST_VALUES + 1,)  # never printed: as small as is too large
    along = middles.reshape(-1, *[1] * (len(shape) - 1)) if len(middles) > 1 and shape is sizes else middles[:1]
    return np.broadcast_to(along if shape else middles[0], shape)


def _expression(given: Tensor, sizes: tuple[int, ...]) -> str:
    """The same row in Python: `[[[0.5]*28]*28]*1`."""
    middles = _middle(given)
    if len(middles) > 1:
        return f"[{', '.join(_repeated(value, sizes[1:]) for value in middles)}]"
    return _repeated(middles[0], sizes)


def _repeated(value: float | int | bool, sizes: tuple[int, ...]) -> str:
    text = repr(value)
    for size in reversed(sizes):
        text = f"[{text}]*{size}"
    return text
