"""Checks a float16 artefact against its float32 network: the uncertainty must stay the same."""

import numpy as np
import onnx
from onnxruntime import InferenceSession
from torch import nn

from app.contract.head import Head
from app.contract.schema import Contract
from models import runtime
from models.export.verification.feed import feed
from models.export.verification.loop import VerificationError, torch_loop
from models.export.verification.task import Arrays, Raw
from models.export.verification.tasks import TASKS
from models.given import Tensors, each, rows_of

USUAL, LARGEST = 1e-3, 5e-3
"""The difference, in nats, allowed for 99 % of the entropies and for all of them."""
_BATCHES = (1, 2, 3, 5, 16)
_ROWS_AT_ONCE = 16


def verify_float16(
    model: onnx.ModelProto, contract: Contract, network: nn.Module, rows: Tensors, usual: float = USUAL
) -> tuple[float, float]:
    """Compares a model in float16 with its network in float32.

    Args:
        usual: the difference in nats allowed for 99 % of the entropies.

    Returns:
        The difference in entropy that 99 % of the rows stay within, and the largest, in nats.

    Raises:
        VerificationError: they are more than 1e-3 and 5e-3, or a probability differs by more than 5e-3.
    """
    session = runtime.session(model)
    count = len(each(rows)[0])
    parts = [rows_of(rows, slice(first, first + _ROWS_AT_ONCE)) for first in range(0, count, _ROWS_AT_ONCE)]
    given = feed(contract, rows)
    found = [
        _verify_head(session, head, raw, given, usual)
        for head, raw in zip(contract.heads, torch_loop(network, parts), strict=True)
    ]
    return max(of_most for of_most, _ in found), max(largest for _, largest in found)


def _verify_head(session: InferenceSession, head: Head, raw: Raw, given: Arrays, allowed: float) -> tuple[float, float]:
    expected = TASKS[head.task].expected(raw, head)

    def answer(count: int, *names: str) -> Arrays:
        rows = {name: array[:count] for name, array in given.items()}
        return head.own(runtime.run_session(session, rows, list(map(head.graph_name, names))))

    for batch in _BATCHES:
        part, wanted = answer(batch, "submodels")["submodels"], expected["submodels"][:batch]
        if part.shape != wanted.shape or not np.abs(part - wanted).max() <= LARGEST:
            raise VerificationError(
                f"in float16 {head.graph_name('submodels')} at batch size {batch} differ by more than {LARGEST} from "
                "the torch loop: export this network in float32"
            )
    found = answer(len(raw), "probabilities", "entropy")
    difference = np.abs(found["entropy"] - expected["entropy"])
    usual, largest = float(np.quantile(difference, 0.99)), float(difference.max())
    if not (usual <= allowed and largest <= LARGEST):  # NaN fails
        raise VerificationError(
            f"in float16 99 % of the entropies are within {usual:.2g} nats and all within {largest:.2g}, "
            f"allowed are {allowed} and {LARGEST}: export this network in float32"
        )
    if not (worst := float(np.abs(found["probabilities"] - expected["probabilities"]).max())) <= LARGEST:
        raise VerificationError(f"in float16 a probability differs by {worst:.2g}, allowed is {LARGEST}")
    return usual, largest
