"""Compares every plan with a plain torch loop over the masks; only plans that agree are published."""

import logging
from collections.abc import Mapping

import onnx
from torch import Tensor, nn

from app.contract.schema import Contract
from models.export.axes import resized, sizes_to_try
from models.export.verification.float16 import verify_float16
from models.export.verification.float32 import verify
from models.export.verification.loop import VerificationError

__all__ = ["VerificationError", "verify", "verify_float16", "verify_plans"]

_ROWS = 64  # of the loop, which runs each submodel in turn
_FREE_ROWS, _FREE_BATCHES = 3, (1, 3)  # at each size of free axes

_log = logging.getLogger(__name__)


def verify_plans(plans: Mapping[str, onnx.ModelProto], contract: Contract, reference: nn.Module, rows: Tensor) -> None:
    """Verifies plans by name, at the contract's precision, on rows in natural units.

    Args:
        reference: the network that they were made from, with such rows as input.

    Raises:
        VerificationError: a plan does not answer as the network does.
    """
    for name, model in plans.items():
        onnx.checker.check_model(model, full_check=True)
        if contract.precision == "float16":
            usual, largest = verify_float16(model, contract, reference, rows)
            _log.info("verify: %s, 99 %% of entropies within %.2g nats, all within %.2g", name, usual, largest)
        else:
            worst = verify(model, contract, reference, rows[:_ROWS])
            for sizes in sizes_to_try(contract.inputs[0].shape[1:], contract.axes):
                worst = max(worst, verify(model, contract, reference, resized(rows[:_FREE_ROWS], sizes), _FREE_BATCHES))
            _log.info("verify: %s agrees with the torch loop over the masks, %.2g of the allowed", name, worst)
