"""The inputs of an artefact: their description in the contract, and rows to try the network on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Generator, Tensor

from app.contract.axis import Axes
from app.contract.tensor import WHOLE, Dtype
from app.contract.tensor import Tensor as ContractTensor
from models.export.axes import check_examples
from models.export.options import ExportOptions, InputOptions, Range
from models.given import Tensors

_ROWS = 64
_DTYPES: dict[torch.dtype, Dtype] = {getattr(torch, dtype): dtype for dtype in get_args(Dtype)}
_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"


def named_examples(example: Tensor | Mapping[str, Tensor], options: ExportOptions) -> dict[str, Tensor]:
    """The examples [B, …] by name of the input, in the order of the network's arguments.

    Raises:
        ValueError: they have other names than the options, or a name cannot be that of an input.
    """
    names = list(options.input_options)
    found = {names[0]: example} if isinstance(example, Tensor) and len(names) == 1 else example
    if isinstance(found, Tensor) or found.keys() != set(names):
        got = "one tensor" if isinstance(found, Tensor) else ", ".join(found)
        raise ValueError(f"example_input: expected a tensor for each of {', '.join(names)}, got {got}; see inputs")
    for name in names:
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"inputs: expected names of letters, digits, _ and -, a letter first, got {name!r}")
    return {name: found[name] for name in names}


def describe_inputs(examples: Mapping[str, Tensor], options: ExportOptions) -> tuple[ContractTensor, ...]:
    """Describes the inputs, given an example [B, …] of each.

    Raises:
        ValueError: one is of a dtype that no input has, or range or shape do not fit it.
    """
    asked = options.input_options
    shapes = {name: tuple(asked[name].shape or example.shape[1:]) for name, example in examples.items()}
    for name, example in examples.items():
        if example.dtype not in _DTYPES:
            raise ValueError(f"example_input{_of(name)} must be {', '.join(_DTYPES.values())}, got {example.dtype}")
    check_examples(shapes, options.axes, examples)
    return tuple(
        _describe(name, example, shapes[name], asked[name], mark=name in marks(options.axes))
        for name, example in examples.items()
    )


def marks(axes: Axes) -> set[str]:
    """The inputs that mark which entries are real."""
    return {axis.padding.mark for axis in axes.values() if axis.padding is not None and axis.padding.mark is not None}


def _describe(
    name: str, example: Tensor, shape: Sequence[int | str], asked: InputOptions, *, mark: bool
) -> ContractTensor:
    dtype = _DTYPES[example.dtype]
    spanned, ranges = _ranges(asked, example)
    if dtype in ("int32", "int64"):
        if mark and spanned is None:
            spanned = (0, 1)
        if spanned is None:
            raise ValueError(
                f"value_range{_of(name)}: say the smallest and the largest of these whole numbers, such as "
                "(0, 9999) for ids of 10000 tokens: what lies outside would end the network with an error"
            )
    if dtype not in ("float32", "uint8") and asked.normalise is not None:
        raise ValueError(f"normalise{_of(name)}: {dtype} goes to the network as it is")
    if dtype in WHOLE and spanned is not None and any(bound % 1 for bound in spanned):
        raise ValueError(f"value_range{_of(name)}: expected whole numbers, got {spanned}")
    return ContractTensor(
        name=name,
        dtype=dtype,
        shape=("B", *shape),
        unit=asked.unit,
        range=spanned,
        channel_ranges=ranges,
        features=tuple(asked.features or ()),
        symbols=tuple(asked.symbols or ()),
        layout=asked.layout,
        colour=asked.colour,
        resize=asked.resize,
    )


def _of(name: str) -> str:
    """Which of several inputs, for messages."""
    return "" if name == "input" else f" of {name}"


def _ranges(asked: InputOptions, example: Tensor) -> tuple[Range | None, tuple[Range, ...] | None]:
    """The range of all values, and those of the channels if there is one for each."""
    given: Any = asked.value_range
    if given is None or not isinstance(given[0], Sequence):
        return given, None
    if len(given) != (channels := example.shape[1] if example.ndim > 1 else 0):
        raise ValueError(f"value_range: expected one pair, or one for each of {channels} channels, got {len(given)}")
    lows, highs = zip(*given)
    return (min(lows), max(highs)), tuple(zip(lows, highs))


def varied_rows(examples: Tensors, inputs: Sequence[ContractTensor], axes: Axes) -> tuple[Tensor, ...]:
    """64 rows of each input, no two alike, within its range: near the example's, and drawn where they are ids of tokens
    or truth values."""
    # a generator of its own: an export leaves the caller's random numbers alone
    generator = torch.Generator().manual_seed(0)
    return tuple(_varied(example, given, axes, generator) for example, given in zip(examples, inputs, strict=True))


def _varied(example: Tensor, given: ContractTensor, axes: Axes, generator: Generator) -> Tensor:
    shape = (_ROWS, *example.shape[1:])
    if given.dtype in ("float32", "uint8"):
        return _near(torch.cat([example] * -(-_ROWS // len(example)))[:_ROWS], given, generator)
    low, high = map(int, given.limits)
    drawn = torch.randint(low, high + 1, shape, generator=generator).to(example.dtype)
    if given.name in marks(axes):
        drawn[:, 0] = 1  # of a row without a real entry nothing can be said
    for letter, axis in axes.items():
        if axis.padding is not None and axis.padding.mark is None and letter in given.shape[1:]:
            # what marks itself by its value must be real here
            fill = axis.padding.fill.get(given.name, 0)
            drawn = torch.where(drawn == fill, torch.tensor(low if fill != low else high), drawn).to(example.dtype)
    return drawn


def _near(rows: Tensor, given: ContractTensor, generator: Generator) -> Tensor:
    # near the example and not from noise: a network answers noise with one class, whatever else is wrong
    varied = rows.float() * (0.8 + 0.4 * torch.rand(rows.shape, generator=generator))
    if given.channel_ranges is None:
        return varied.clamp(*given.limits).to(rows.dtype)
    low, high = torch.tensor(given.channel_ranges).T.reshape(2, 1, -1, *[1] * (varied.ndim - 2))
    return varied.clamp(low, high).to(rows.dtype)
