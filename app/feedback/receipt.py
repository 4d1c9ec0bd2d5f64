"""Receipts: what was answered for a row, in the hands of the client until the truth about the row is known.

A receipt is a msgpack array with a signature, as text. It holds the answer and never the input.
"""

import secrets
import struct
import time
from collections.abc import Mapping
from itertools import repeat
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.contract.contract_model import Score
from app.contract.decisions import Action, Decision
from app.contract.head import Head
from app.contract.tasks.task import Arrays
from app.feedback.signer import Signer, signature_of
from app.feedback.tasks import FEEDBACK

if TYPE_CHECKING:
    from app.feedback.archive import Archive

FORM = 2
"""Number of the layout of receipts. A change of `Receipt` or of a task's figures is a new one."""
ACTIONS: tuple[Action | None, ...] = (None, *get_args(Action))
"""What a receipt says of its row's decision is an index here; None where nobody had a policy."""
_REQUEST = 8  # random bytes; a client may send one X-Request-ID with many requests


class Receipt(msgspec.Struct, array_like=True, frozen=True):
    """What was answered for one row by one head. Time, request and row make it one of a kind."""

    form: int
    model: str
    version: int
    head: str
    """Empty if the model has one head."""
    time: int
    """When it was answered, in seconds since 1970."""
    request: bytes
    """Random bytes, the same for all rows of a request."""
    row: int
    action: int
    """Index in ACTIONS."""
    scores: bytes
    """float32, in the order of the head's scores."""
    figures: tuple[bytes, ...]
    """What the task needs to judge the answer; see its file in `tasks`."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Receipt)


class Receipts:
    """Issues receipts, and reads those that come back.

    Args:
        signer: knows the secrets.
        archive: keeps what a recalibration needs of each row; without it nothing does.
    """

    def __init__(self, signer: Signer, archive: "Archive | None" = None) -> None:
        self._signer = signer
        self._archive = archive

    def also_needed(self, head: Head) -> list[str]:
        """Outputs of the graph that are kept of rows with a receipt, beside those that receipts are made from."""
        return [] if self._archive is None else [head.graph_name(name) for name in head.task_kind.sufficient(head)]

    def issue(
        self,
        model: str,
        version: int,
        head: Head,
        found: Arrays,
        of_rows: Mapping[Score, NDArray[Any]],
        decisions: list[Decision] | None,
    ) -> list[str]:
        """A receipt for each row.

        Args:
            found: outputs [B, …] of the head by plain name, at least those that its task needs, and `also_needed`.
            of_rows: its scores [B].
            decisions: what was answered to each row, if anything.
        """
        figures = FEEDBACK[head.task].figures(head, found)
        columns = [values.tolist() for values in of_rows.values()]
        scores = zip(*columns) if columns else repeat(())
        pack = struct.Struct(f"<{len(columns)}f").pack  # of one row, as most requests have, in half of NumPy's time
        actions = [0] * len(figures) if decisions is None else [ACTIONS.index(one.action) for one in decisions]
        # a tuple of the fields in their order: made faster than a Receipt, and the same bytes
        shared = (FORM, model, version, head.name, int(time.time()), secrets.token_bytes(_REQUEST))
        sign, encode = self._signer.sign, _encoder.encode
        issued = [
            sign(encode((*shared, row, action, pack(*of_scores), of_row)))
            for row, (action, of_scores, of_row) in enumerate(zip(actions, scores, figures))
        ]
        if self._archive is not None:
            self._archive.keep((model, version, head.name), issued, actions, head.task_kind.sufficient(head), found)
        return issued

    def read(self, text: str) -> tuple[Receipt, int]:
        """A receipt from its text, and a number of 64 bits that no other receipt has.

        Raises:
            ValueError: it was not issued here, or by a release with another layout.
        """
        payload, signature = self._signer.verify(text)
        try:
            receipt = _decoder.decode(payload)
        except (msgspec.ValidationError, msgspec.DecodeError):
            raise ValueError("signed, but not a receipt of this release") from None
        if receipt.form != FORM:
            raise ValueError(f"a receipt of the form {receipt.form}, which this release does not know")
        return receipt, _number(signature)


def number_of(issued: str) -> int:
    """The number that `Receipts.read` gives, of a receipt that was issued here."""
    return _number(signature_of(issued))


def _number(signature: bytes) -> int:
    return int.from_bytes(signature[:8], "little")


def why_none(head: Head) -> str | None:
    """Why a head's answers have no receipts; None if they have."""
    if head.grid:
        return "a head that answers for each cell has no receipts"
    if head.task not in FEEDBACK:
        return f"a {head.task} head has no receipts"
    return FEEDBACK[head.task].why_none(head)


def scores_of(receipt: Receipt, head: Head) -> dict[Score, float]:
    """The scores of a receipt by name."""
    return dict(zip(head.scores, np.frombuffer(receipt.scores, "<f4").tolist()))
