"""Keeps what a recalibration needs of the rows with receipts, and remembers for all replicas which receipts were
counted, in the database of `app.contract.field_database`.

Answers never wait for it: a thread writes what `keep` was given. If the database fails, rows wait in memory up to a
bound, then the newest are dropped and counted. Of too many rows it keeps a random sample: those with the lowest
numbers, which are parts of signatures and so have nothing to do with what a row holds.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from app.contract.field_database import FLOAT32, FLOAT64, answers, connect, insert_new, metadata, signed, truths
from app.contract.tasks.task import Arrays
from app.errors import FeedbackUnavailable
from app.feedback.ledger import Claim, TallyKey
from app.feedback.receipt import ACTIONS, number_of

MOST_TRUTHS = 2**23
"""Most truths that are remembered, as of a process alone; more are refused until the oldest expire."""
_log = logging.getLogger(__name__)

_DAY = 86_400  # seconds
_MOST_WAITING = 2**25  # bytes of outputs that wait to be written: 32 MiB
_ROWS_AT_ONCE = 5000
_PAUSE = 0.1  # seconds between transactions, so that many answers share one
_RETRY = 1.0  # seconds after a failure
_SWEEP = 60.0  # seconds between deletions
_PATIENCE = 10.0  # seconds that a request with truths waits
_MOST_ADDING = 16  # requests with truths that wait; the threads of others are never theirs
_LAST_SECONDS = 5.0  # for what still waits when the service ends


class Report(Protocol):
    """Who wants to know what becomes of rows; `Telemetry` does."""

    def kept(self, outcome: Literal["stored", "dropped"], rows: int) -> None: ...

    def feedback_failing(self, is_so: bool) -> None: ...


class _Answered(NamedTuple):
    """The rows of an answer."""

    key: TallyKey
    time: int
    receipts: Sequence[str]
    actions: Sequence[int]
    outputs: NDArray[Any]
    """float32 [B, …]."""


class Archive:
    """The database of one process; others may use the same.

    Args:
        url: see `app.contract.field_database.connect`.
        rows: most rows whose outputs are kept.
        days: how long anything is kept after its answer.
        most_truths: how many are remembered.

    Raises:
        ValueError: the URL is none, or its driver is missing.
    """

    def __init__(self, url: str, rows: int, days: float, report: Report, most_truths: int = MOST_TRUTHS) -> None:
        self._engine = connect(url)
        self._rows, self._days, self._most_truths = rows, days, most_truths
        self._report = report
        self._there = False  # the tables
        self._failing = self._full = False
        self._waiting: deque[_Answered] = deque()
        self._bytes = 0
        self._lock = threading.Lock()  # requests are encoded in several threads
        self._closing = threading.Event()
        self._some = threading.Event()
        self._writer = threading.Thread(target=self._write, name="feedback", daemon=True)
        self._adder = ThreadPoolExecutor(1, "truths")  # not the loop's: a database that hangs must not hold up answers
        self._adding: set[asyncio.Task[int]] = set()

    def start(self) -> None:
        """Begins to write, in a thread; a database that cannot be reached is told at once."""
        self._some.set()
        self._writer.start()

    def close(self) -> None:
        """Writes what waits, for some seconds at most, and drops the rest."""
        self._closing.set()
        self._some.set()
        self._writer.join(_LAST_SECONDS)
        self._adder.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            left = sum(len(one.receipts) for one in self._waiting)
        if left:
            self._report.kept("dropped", left)

    def keep(
        self, key: TallyKey, receipts: Sequence[str], actions: Sequence[int], outputs: Sequence[str], found: Arrays
    ) -> None:
        """Keeps the rows of an answer; never waits and never fails.

        Args:
            actions: index in ACTIONS of each row's.
            outputs: names of those outputs [B, …] of `found` that are kept.
        """
        parts = [np.asarray(found[name], FLOAT32).reshape(len(receipts), -1) for name in outputs]
        one = _Answered(key, int(time.time()), receipts, actions, np.concatenate(parts, axis=1))  # a copy
        with self._lock:
            fits = self._bytes + one.outputs.nbytes <= _MOST_WAITING
            if fits:
                self._waiting.append(one)
                self._bytes += one.outputs.nbytes
        if fits:
            self._some.set()
        else:
            self._report.kept("dropped", len(receipts))

    async def add(self, claims: Sequence[Claim], then: Callable[[Sequence[Claim], Sequence[bool]], int]) -> int:
        """Remembers receipts with their truths, then counts them; returns what `then` returns.

        Args:
            then: is told of each whether it is new, in the event loop, even if the client has gone meanwhile: what the
                database remembers must be counted, or it never would be.

        Raises:
            FeedbackUnavailable: the database takes none now. If it was only too slow they count when it has done its
                work, and once: the client sends them again and they are repeats.
        """
        if self._full:
            raise FeedbackUnavailable(
                f"the database of feedback holds {self._most_truths} truths, and takes more when the oldest expire "
                "(MASKSEMBLES_FEEDBACK_DAYS)",
                int(_SWEEP),
            )
        if len(self._adding) >= _MOST_ADDING:
            raise self._unavailable()
        task = asyncio.create_task(self._added(claims, then))
        self._adding.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(task), _PATIENCE)
        except TimeoutError:
            self._fails("it does not answer")
            raise self._unavailable() from None

    async def _added(self, claims: Sequence[Claim], then: Callable[[Sequence[Claim], Sequence[bool]], int]) -> int:
        try:
            new = await asyncio.get_running_loop().run_in_executor(self._adder, self._add, claims)
        except SQLAlchemyError as error:
            self._fails(error)
            raise self._unavailable() from error
        self._works()
        return then(claims, new)

    def _done(self, task: asyncio.Task[int]) -> None:
        self._adding.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else asks where the client has gone

    def _add(self, claims: Sequence[Claim]) -> list[bool]:
        self._ensure_tables()
        rows = {
            key: {"id": key, "time": claim.time, "truth": np.asarray(claim.judged.truth, FLOAT64).tobytes()}
            for key, claim in ((signed(claim.number), claim) for claim in claims)
        }
        with self._engine.begin() as connection:
            # in one order, or two replicas with the same receipts could wait for each other
            ordered = [rows[key] for key in sorted(rows)]
            statement = insert_new(self._engine, truths).returning(truths.c.id)
            fresh = set(connection.execute(statement, ordered).scalars())
        new = []
        for claim in claims:
            new.append(signed(claim.number) in fresh)
            fresh.discard(signed(claim.number))  # its second row in one request is a repeat
        return new

    def _write(self) -> None:
        """The way of the thread."""
        swept = float("-inf")
        while True:
            self._some.wait(_SWEEP)
            self._some.clear()
            ends = self._closing.is_set()
            try:
                self._ensure_tables()
                due = time.monotonic() - swept >= _SWEEP and not ends
                if due:
                    self.sweep()
                    swept = time.monotonic()
                wrote = self._write_some()
                while ends and self._write_some():
                    pass
                if wrote or due:
                    self._works()
            except Exception as error:  # whatever it is, the next rows are to be written
                self._fails(error)
                wrote, swept = True, float("-inf")  # tries again, if nothing waits then by deleting
                if not ends:
                    self._closing.wait(_RETRY)
            if ends:
                return
            if wrote:
                self._some.set()
                self._closing.wait(_PAUSE)

    def _write_some(self) -> bool:
        """Writes rows that wait; False if there were none."""
        batch: list[_Answered] = []
        count = 0
        with self._lock:
            while self._waiting and count < _ROWS_AT_ONCE:
                batch.append(self._waiting.popleft())
                count += len(batch[-1].receipts)
        if not batch:
            return False
        outcome: Literal["stored", "dropped"] | None = None
        try:
            with self._engine.begin() as connection:
                connection.execute(insert_new(self._engine, answers), [row for one in batch for row in _rows(one)])
            outcome = "stored"
        except (OperationalError, InterfaceError):  # it cannot be reached, is locked, or its disk is full
            raise
        except DBAPIError:  # to try these again would be in vain
            outcome = "dropped"
            raise
        finally:
            with self._lock:
                if outcome is None:
                    self._waiting.extendleft(reversed(batch))
                else:
                    self._bytes -= sum(one.outputs.nbytes for one in batch)
            if outcome is not None:
                self._report.kept(outcome, count)
        return True

    def sweep(self) -> None:
        """Deletes what is too old or too much."""
        earliest = int(time.time() - self._days * _DAY)
        with self._engine.begin() as connection:
            for table in (answers, truths):
                connection.execute(delete(table).where(table.c.time < earliest))
            beyond = connection.scalar(select(answers.c.id).order_by(answers.c.id).offset(self._rows).limit(1))
            if beyond is not None:
                connection.execute(delete(answers).where(answers.c.id >= beyond))
            last = select(truths.c.id).order_by(truths.c.id).offset(self._most_truths - 1).limit(1)
            self._full = connection.scalar(last) is not None

    def _ensure_tables(self) -> None:
        if not self._there:  # the database may have come later than the service
            try:
                metadata.create_all(self._engine)
            except DBAPIError:
                metadata.create_all(self._engine)  # another replica made them at the same time
            self._there = True

    def _fails(self, why: object) -> None:
        if not self._failing:
            _log.warning("the database of feedback fails: %s", why)
        self._failing = True
        self._report.feedback_failing(True)

    def _works(self) -> None:
        if self._failing:
            _log.info("the database of feedback works again")
        self._failing = False
        self._report.feedback_failing(self._full)

    @staticmethod
    def _unavailable() -> FeedbackUnavailable:
        return FeedbackUnavailable(
            "the database of feedback cannot be reached; send the same again, each receipt counts once", int(_PATIENCE)
        )


def _rows(one: _Answered) -> list[dict[str, Any]]:
    model, version, head = one.key
    return [
        {
            "id": signed(number_of(receipt)),
            "time": one.time,
            "model": model,
            "version": version,
            "head": head,
            "action": ACTIONS[action] or "",
            "outputs": outputs.tobytes(),
        }
        for receipt, action, outputs in zip(one.receipts, one.actions, one.outputs)
    ]
