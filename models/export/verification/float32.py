"""Checks a finished artefact in onnxruntime against a plain torch loop over the masks."""

from collections.abc import Sequence

import onnx
import torch
from onnxruntime import InferenceSession
from torch import nn

from app.contract.schema import Contract
from models import runtime
from models.export.verification.feed import feed
from models.export.verification.loop import VerificationError, torch_loop
from models.export.verification.task import Arrays
from models.export.verification.tasks import TASKS
from models.given import Tensors, each, rows_of

BATCHES = (1, 2, 3, 5, 16)  # not the traced batch size alone, nor only multiples of N
_ALONE = 3
"""At this batch size the torch loop runs row by row, so that a network that mixes rows gives other answers."""


def verify(
    model: onnx.ModelProto, contract: Contract, network: nn.Module, rows: Tensors, batches: Sequence[int] = BATCHES
) -> float:
    """Compares every output at several batch sizes; `network` takes `rows` in the artefact's own input units.

    Returns:
        The largest difference as a share of what the task allows.

    Raises:
        VerificationError: an output differs by more than that, or is not finite; the message names it.
    """
    worst = 0.0
    session = runtime.session(model)
    of = f" of {', '.join(str(list(one.shape[1:])) for one in each(rows))}" if contract.axes else ""
    for batch in batches:
        given = tuple(torch.cat([one] * -(-batch // len(one)))[:batch] for one in each(rows))
        found = _run(session, contract, given, f"{batch}{of}")
        parts = [rows_of(given, slice(row, row + 1)) for row in range(batch)] if batch == _ALONE else [given]
        for head, raw in zip(contract.heads, torch_loop(network, parts), strict=True):
            task = TASKS[head.task]
            for name, share in task.shares(head.own(found), raw, head).items():
                if not share <= 1:  # not `>`: NaN must fail, too
                    mixed = ", run row by row: does the network mix rows?" if batch == _ALONE else ""
                    raise VerificationError(
                        f"{head.graph_name(name)} at batch size {batch}{of} differs from the torch loop{mixed} by "
                        f"{share:.3g} times what is allowed ({task.allowed})"
                    )
                worst = max(worst, share)
    return worst


def _run(session: InferenceSession, contract: Contract, rows: Tensors, batch: str) -> Arrays:
    try:
        return runtime.run_session(session, feed(contract, rows), [tensor.name for tensor in contract.outputs])
    except Exception as error:  # onnxruntime raises several kinds
        raise VerificationError(f"the model fails at batch size {batch}: {error}") from error
