"""Checks labelled rows against a contract before anything is computed from them. No torch here."""

from typing import Any

import numpy as np

from app.contract.schema import Contract
from app.contract.tensor import Tensor
from models.data import DatasetError, Split
from models.evaluation.grids import grid_sizes, letter_sizes
from models.evaluation.tasks import evaluator_of


def check_rows(contract: Contract, split: Split) -> None:
    """Checks labelled rows against a model's inputs and the answers of all its heads. For inputs read on access, only
    dtype and shape are checked.

    Raises:
        DatasetError: no rows, inputs or heads of other names, another dtype or shape, values that are not finite or
            outside the declared range, or a label that a head's task does not have (see `models.evaluation.tasks`).
            The message names the first row.
    """
    inputs, labels = split.inputs_by_name(contract), split.labels_by_head(contract)
    for what, arrays in (("inputs", inputs), ("labels", labels)):
        for name, array in arrays.items():
            if not isinstance(getattr(array, "dtype", None), np.dtype):
                raise DatasetError(f"{_place(what, name, arrays)}: expected a NumPy array, got {type(array).__name__}")
    seen: dict[str, int] = {}
    for given in contract.inputs:
        _check_input(contract, given, inputs[given.name], _place("inputs", given.name, inputs), seen)
    counts = {name: len(array) for name, array in inputs.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise DatasetError(f"inputs: expected as many rows of each, got {told}")
    rows, letters = next(iter(counts.values())), letter_sizes(contract, inputs)
    for head in contract.heads:
        try:
            evaluator_of(head).check_labels(head, labels[head.name], (rows, *grid_sizes(head, letters)))
        except DatasetError as error:
            if len(labels) == 1:
                raise
            raise DatasetError(f"{head.name}: {error}") from None


def _check_input(contract: Contract, given: Tensor, inputs: Any, place: str, seen: dict[str, int]) -> None:
    """`seen` are the sizes of free axes on other inputs; those of this one are added."""
    problem = f"{place}: expected {given.dtype} {list(given.shape)}, got {inputs.dtype} {list(inputs.shape)}"
    if str(inputs.dtype) != given.dtype or len(inputs.shape) != len(given.shape):
        raise DatasetError(problem)
    if (misfit := contract.misfit(given, inputs.shape[1:], seen)) is not None:
        raise DatasetError(f"{problem}: {misfit[1]}" if contract.axes else problem)
    if isinstance(inputs, np.ndarray):
        wrong = ~np.isfinite(inputs) | given.outside(inputs)
        if wrong.any():
            first = tuple(np.argwhere(wrong)[0].tolist())
            where = "".join(f"[{index}]" for index in first)
            raise DatasetError(
                f"{place}{where}: expected {given.expected(first)}, got {inputs[first]:g}; "
                f"{wrong.reshape(len(wrong), -1).any(axis=1).sum()} of {len(wrong)} rows have such values"
            )


def _place(what: str, name: str, arrays: dict[str, Any]) -> str:
    """What a message calls an array: by its name where there are several."""
    return f"{what}.{name}" if len(arrays) > 1 else what
