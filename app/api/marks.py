"""Marks of real entries, which a request may leave out."""

import numpy as np

from app.contract.schema import Contract
from app.engine.row_shapes import Feeds
from app.errors import InvalidInput


def complete(contract: Contract, inputs: Feeds) -> Feeds:
    """The inputs in the contract's order, with the marks that were left out: all entries are real then.

    Raises:
        InvalidInput: a row has no real entry.
    """
    if len(inputs) == len(contract.inputs) == 1:
        return inputs
    found = dict(inputs)
    for letter, axis in contract.axes.items():
        if axis.padding is None or axis.padding.mark is None:
            continue
        if axis.padding.mark in found:
            empty = ~(found[axis.padding.mark] != 0).any(axis=1)
            if empty.any():
                raise InvalidInput("expected at least one real entry", f"inputs.{axis.padding.mark}[{empty.argmax()}]")
            continue
        mark = next(given for given in contract.inputs if given.name == axis.padding.mark)
        for given in contract.inputs:
            if given.name in found and letter in given.shape:
                shape = [found[given.name].shape[at] for at in (0, given.shape.index(letter))]
                found[mark.name] = np.ones(shape, mark.dtype)
                break
    return {given.name: found[given.name] for given in contract.inputs if given.name in found}
