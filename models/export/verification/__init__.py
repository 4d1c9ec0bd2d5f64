"""Compares every plan with a plain torch loop over the masks; only plans that agree are published."""

import logging
from collections.abc import Mapping, Sequence

import onnx
from torch import Tensor, nn

from app.contract.schema import Contract
from models.export.axes import Sizes, letters, resized, sizes_to_try
from models.export.verification.feed import rows_at_once
from models.export.verification.float16 import LARGEST, verify_float16
from models.export.verification.float32 import BATCHES, verify
from models.export.verification.loop import VerificationError
from models.export.verification.padding import verify_padding
from models.given import rows_of

__all__ = ["VerificationError", "verify", "verify_float16", "verify_plans"]

_ROWS = 64  # of the loop, which runs each submodel in turn
_FREE_ROWS, _FREE_BATCHES = 3, (1, 3)  # at each size of free axes

_log = logging.getLogger(__name__)


def verify_plans(
    plans: Mapping[str, onnx.ModelProto], contract: Contract, reference: nn.Module, rows: tuple[Tensor, ...]
) -> None:
    """Verifies plans by name, at the contract's precision, on rows in natural units.

    Args:
        reference: the network that they were made from, with such rows as input.

    Raises:
        VerificationError: a plan does not answer as the network does, or padding changes its answers.
    """
    shapes = [given.shape[1:] for given in contract.inputs]
    for name, model in plans.items():
        onnx.checker.check_model(model, full_check=True)
        own, tried = dict(letters(rows, shapes)), sizes_to_try(shapes, contract.axes)
        if contract.precision == "float16":
            whole = rows_of(rows, slice(max(1, rows_at_once(contract, own))))
            usual, largest = verify_float16(model, contract, reference, whole)
            for sizes in tried:
                few = resized(rows_of(rows, slice(min(_FREE_ROWS, rows_at_once(contract, sizes)))), shapes, sizes)
                if len(few[0]):
                    verify_float16(model, contract, reference, few, usual=LARGEST)
            verify_padding(model, contract, rows, LARGEST)
            _log.info("verify: %s, 99 %% of entropies within %.2g nats, all within %.2g", name, usual, largest)
            continue
        worst = verify(model, contract, reference, rows_of(rows, slice(_ROWS)), _fitting(contract, own, BATCHES))
        for sizes in tried:
            few = resized(rows_of(rows, slice(_FREE_ROWS)), shapes, sizes)
            worst = max(worst, verify(model, contract, reference, few, _fitting(contract, sizes, _FREE_BATCHES)))
        verify_padding(model, contract, rows)
        _log.info("verify: %s agrees with the torch loop over the masks, %.2g of the allowed", name, worst)


def _fitting(contract: Contract, sizes: Sizes, batches: Sequence[int]) -> list[int]:
    """The batch sizes whose answers can be compared at once; a single row of the largest maps is, too."""
    most = rows_at_once(contract, sizes)
    return [batch for batch in batches if batch <= most] or [1]
