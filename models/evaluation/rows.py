"""Checks labelled rows against a contract before anything is computed from them. No torch here."""

import numpy as np

from app.contract.schema import Contract
from models.data import DatasetError, Split
from models.evaluation.tasks import TASKS


def check_rows(contract: Contract, split: Split) -> None:
    """Checks labelled rows against a model's inputs and answers. For inputs read on access, only dtype and shape are
    checked.

    Raises:
        DatasetError: no rows, another dtype or shape, values that are not finite or outside the declared range, or a
            label that the model's task does not have (see `models.evaluation.tasks`). The message names the first row.
    """
    given, inputs = contract.inputs[0], split.inputs
    for name, array in (("inputs", inputs), ("labels", split.labels)):
        if not isinstance(getattr(array, "dtype", None), np.dtype):
            raise DatasetError(f"{name}: expected a NumPy array, got {type(array).__name__}")
    TASKS[contract.task].check_labels(contract, split)
    problem = f"inputs: expected {given.dtype} {list(given.shape)}, got {inputs.dtype} {list(inputs.shape)}"
    if str(inputs.dtype) != given.dtype or len(inputs.shape) != len(given.shape):
        raise DatasetError(problem)
    if (misfit := contract.misfit(given, inputs.shape[1:])) is not None:
        raise DatasetError(f"{problem}: {misfit[1]}" if contract.axes else problem)
    if isinstance(inputs, np.ndarray):
        wrong = ~np.isfinite(inputs) | given.outside(inputs)
        if wrong.any():
            first = tuple(np.argwhere(wrong)[0].tolist())
            place = "".join(f"[{index}]" for index in first)
            raise DatasetError(
                f"inputs{place}: expected {given.expected(first)}, got {inputs[first]:g}; "
                f"{wrong.reshape(len(wrong), -1).any(axis=1).sum()} of {len(wrong)} rows have such values"
            )
