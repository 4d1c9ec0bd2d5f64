"""Checks that padding changes no answer: rows of one size, and the same rows filled up to larger ones."""

import numpy as np
import onnx
import torch
from torch import Tensor

from app.contract.axis import FreeAxis, Padding
from app.contract.schema import Contract
from models import runtime
from models.export.axes import letters, resized, sizes_to_try
from models.export.verification.feed import feed
from models.export.verification.loop import VerificationError
from models.given import rows_of

TOLERANCE = 1e-5
"""Of a padded answer, absolute and relative to the largest value: a sum over more numbers is rounded otherwise."""
_ROWS = 3


def verify_padding(
    model: onnx.ModelProto, contract: Contract, rows: tuple[Tensor, ...], tolerance: float = TOLERANCE
) -> None:
    """Compares every output of rows of several sizes with that of the same rows, padded as the contract says.

    Args:
        tolerance: of a difference, absolute and relative to the largest value.

    Raises:
        VerificationError: an answer depends on the padding; the message names the axis and the output.
    """
    shapes = [given.shape[1:] for given in contract.inputs]
    session = runtime.session(model)
    # a class may be another one where two are equally probable: their probabilities are compared
    names = [tensor.name for tensor in contract.outputs if tensor.dtype == "float32"]
    own = dict(letters(rows, shapes))
    few = rows_of(rows, slice(_ROWS))
    for letter, axis in contract.axes.items():
        if axis.padding is None:
            continue
        tried = sorted({sizes[letter] for sizes in sizes_to_try(shapes, contract.axes)})
        for size in tried:
            real = real_rows(resized(few, shapes, {**own, letter: size}), contract, axis.padding)
            expected = runtime.run_session(session, feed(contract, real), names)
            for longer in _longer(size, axis, tried):
                found = runtime.run_session(session, feed(contract, padded(real, contract, letter, longer)), names)
                for name in names:
                    allowed = tolerance * (1 + np.abs(expected[name]).max())
                    difference = np.abs(found[name] - expected[name]).max()
                    if not difference <= allowed:  # NaN fails
                        raise VerificationError(
                            f"axes.{letter}.padding: {name} of rows of {letter} = {size} differs by {difference:.3g} "
                            f"once they are padded to {longer}: the network must leave padding out of whatever it "
                            "sums, averages or attends to, or the axis must not be padded"
                        )


def _longer(size: int, axis: FreeAxis, tried: list[int]) -> list[int]:
    """Sizes to pad to: the next, the one after a power of two, and the largest that was tried."""
    power = 1 << size.bit_length()
    found = {size + axis.multiple_of, -(-power // axis.multiple_of) * axis.multiple_of, tried[-1]}
    return sorted(longer for longer in found if size < longer <= tried[-1])


def real_rows(rows: tuple[Tensor, ...], contract: Contract, padding: Padding) -> tuple[Tensor, ...]:
    """The rows with all entries marked as real."""
    return tuple(
        torch.ones_like(one) if given.name == padding.mark else one
        for given, one in zip(contract.inputs, rows, strict=True)
    )


def padded(rows: tuple[Tensor, ...], contract: Contract, letter: str, size: int) -> tuple[Tensor, ...]:
    """The rows, filled up along an axis to a size."""
    padding = contract.axes[letter].padding or Padding()
    found = []
    for given, one in zip(contract.inputs, rows, strict=True):
        for place, declared in enumerate(given.shape):
            if declared == letter:
                more = list(one.shape)
                more[place] = size - one.shape[place]
                filled = torch.full(more, padding.fill.get(given.name, 0)).to(one.dtype)
                one = torch.cat([one, filled], dim=place)
        found.append(one)
    return tuple(found)
