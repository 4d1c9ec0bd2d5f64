import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from sqlalchemy import func, select

from app.contract.field_database import answers, connect, signed, truths
from app.errors import FeedbackUnavailable
from app.feedback import archive as archives
from app.feedback.archive import Archive
from app.feedback.ledger import Claim, Ledger
from app.feedback.receipt import Receipts, number_of
from app.feedback.signer import Signer
from tests.app.api.predict.answering import CLASSES
from tests.app.engine.fakes import until
from tests.app.feedback.receipts import CLASSES_HEAD, POLICY, RECEIPTS, SECRET

PATIENCE = 20.0


class Told:
    """What an archive reports."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.failing = False

    def kept(self, outcome: Literal["stored", "dropped"], rows: int) -> None:
        self.rows[outcome] += rows

    def feedback_failing(self, is_so: bool) -> None:
        self.failing = is_so


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PAUSE", "_RETRY"):
        monkeypatch.setattr(archives, name, 0.01)


@contextmanager
def opened(url: Path, told: Told | None = None, rows: int = 1000, days: float = 30, **more: Any) -> Iterator[Archive]:
    archive = Archive(str(url), rows, days, told or Told(), **more)
    archive.start()
    try:
        yield archive
    finally:
        archive.close()


def issue(archive: Archive | None, requests: int = 1) -> list[str]:
    """Receipts for two rows each, of classes a and b."""
    issuer = Receipts(Signer([SECRET]), archive)
    scores = CLASSES_HEAD.score_values(CLASSES)
    return [text for _ in range(requests) for text in issuer.issue("m", 3, CLASSES_HEAD, CLASSES, scores, None)]


def claims(ledger: Ledger, *texts: str, truth: str = "b") -> list[Claim]:
    return ledger.check(RECEIPTS, 30, [(text, truth) for text in texts], lambda _: (CLASSES_HEAD, POLICY))


def rows_of(url: Path, table: Any) -> list[Any]:
    engine = connect(str(url))
    try:
        with engine.connect() as connection:
            return list(connection.execute(select(table).order_by(table.c.id)))
    finally:
        engine.dispose()


def test_outputs_are_kept_by_the_number_of_the_receipt(tmp_path: Path) -> None:
    told = Told()
    with opened(tmp_path / "a.db", told) as archive:
        texts = issue(archive)
    assert told.rows == {"stored": 2}
    found = {row.id: row for row in rows_of(tmp_path / "a.db", answers)}
    assert set(found) == {signed(number_of(text)) for text in texts}
    assert [number_of(text) for text in texts] == [RECEIPTS.read(text)[1] for text in texts]
    for text, logits in zip(texts, CLASSES["logits"]):
        row = found[signed(number_of(text))]
        assert (row.model, row.version, row.head, row.action) == ("m", 3, "", "")
        assert row.outputs == logits.astype("<f4").tobytes()
        assert abs(row.time - time.time()) < PATIENCE


def test_each_receipt_is_new_once_over_all_processes(tmp_path: Path) -> None:
    texts = issue(None, 5)
    ledgers = [Ledger(), Ledger()]

    async def send(archive: Archive, ledger: Ledger, *given: str) -> int:
        return await archive.add(claims(ledger, *given), ledger.add)

    with opened(tmp_path / "a.db") as first, opened(tmp_path / "a.db") as second:
        assert asyncio.run(send(first, ledgers[0], *texts[:4], texts[0])) == 4
        assert asyncio.run(send(second, ledgers[1], *texts)) == 6
    assert [(tally.rows, tally.repeats) for ledger in ledgers for tally in ledger.tallies.values()] == [(4, 1), (6, 4)]
    kept = rows_of(tmp_path / "a.db", truths)
    assert [np.frombuffer(row.truth, "<f8").tolist() for row in kept] == 10 * [[1.0]]


def test_of_too_many_rows_a_random_sample_is_kept(tmp_path: Path) -> None:
    told = Told()
    with opened(tmp_path / "a.db", told, rows=1000) as archive:
        numbers = sorted(signed(number_of(text)) for text in issue(archive, 1000))
        until(lambda: told.rows["stored"] == 2000, PATIENCE)
        archive.sweep()
    assert [row.id for row in rows_of(tmp_path / "a.db", answers)] == numbers[:1000]


def test_it_deletes_by_itself_while_rows_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SWEEP", 0.05)
    told = Told()
    with opened(tmp_path / "a.db", told, rows=20) as archive:
        issue(archive)
        until(lambda: told.rows["stored"], PATIENCE)
        end = time.monotonic() + PATIENCE
        while told.rows["stored"] < 100 or len(rows_of(tmp_path / "a.db", answers)) != 20:
            issue(archive, 5)  # there is always something to write
            assert time.monotonic() < end


def test_a_database_that_fails_while_nothing_waits_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SWEEP", 0.05)
    told = Told()
    with opened(tmp_path / "a.db", told) as archive:
        issue(archive)
        until(lambda: told.rows["stored"] == 2, PATIENCE)
        engine = connect(str(tmp_path / "a.db"))
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {answers.name} RENAME TO hidden")
        until(lambda: told.failing, PATIENCE)
        time.sleep(0.2)  # many tries later
        assert told.failing
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE hidden RENAME TO {answers.name}")
        until(lambda: not told.failing, PATIENCE)
        engine.dispose()


def test_what_is_too_old_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    with opened(tmp_path / "a.db", days=2) as archive:
        for days in (3, 1):
            monkeypatch.setattr(time, "time", lambda days=days: now - 86_400 * days)
            ledger = Ledger()
            asyncio.run(_add(archive, claims(ledger, *issue(archive))))
        monkeypatch.undo()
        until(lambda: len(rows_of(tmp_path / "a.db", answers)) == 4, PATIENCE)
        archive.sweep()
    for table in (answers, truths):
        assert [round((now - row.time) / 86_400) for row in rows_of(tmp_path / "a.db", table)] == [1, 1]


async def _add(archive: Archive, given: Sequence[Claim]) -> list[bool]:
    found: list[bool] = []

    def then(_: Sequence[Claim], new: Sequence[bool]) -> int:
        found.extend(new)
        return sum(new)

    await archive.add(given, then)
    return found


def test_a_broken_database_costs_no_answer_and_its_rows_are_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told, folder = Told(), tmp_path / "mounted"
    with caplog.at_level(logging.INFO), opened(folder / "a.db", told) as archive:
        texts = issue(archive, 3)
        until(lambda: told.failing, PATIENCE)
        with pytest.raises(FeedbackUnavailable, match="send the same again"):
            asyncio.run(_add(archive, claims(Ledger(), *texts)))
        folder.mkdir()
        until(lambda: told.rows["stored"] == 6, PATIENCE)
        until(lambda: not told.failing, PATIENCE)
        assert asyncio.run(_add(archive, claims(Ledger(), *texts))) == 6 * [True]
    said = [record.getMessage() for record in caplog.records if record.name == archives.__name__]
    assert said[0].startswith("the database of feedback fails: ")
    assert said[-1] == "the database of feedback works again"
    assert len(said) == 2  # not a line for every try


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MOST_WAITING", 5 * CLASSES["logits"].nbytes)
    told = Told()
    with opened(tmp_path / "missing" / "a.db", told) as archive:
        issue(archive, 8)
        assert told.rows == {"dropped": 6}
    assert told.rows == {"dropped": 16}  # at the end what was never written


def test_a_row_that_the_database_refuses_holds_up_no_other(tmp_path: Path) -> None:
    told = Told()
    with opened(tmp_path / "a.db", told) as archive:
        issue(archive)
        until(lambda: told.rows["stored"] == 2, PATIENCE)
        archive.keep((None, 3, ""), issue(None), [0, 0], ["logits"], CLASSES)  # type: ignore[arg-type]
        until(lambda: told.rows["dropped"] == 2, PATIENCE)
        issue(archive)
        until(lambda: told.rows["stored"] == 4, PATIENCE)


def test_a_full_memory_refuses_truths(tmp_path: Path) -> None:
    told = Told()
    with opened(tmp_path / "a.db", told, most_truths=4) as archive:
        assert asyncio.run(_add(archive, claims(Ledger(), *issue(None, 2)))) == 4 * [True]
        archive.sweep()
        with pytest.raises(FeedbackUnavailable, match="holds 4 truths") as refused:
            asyncio.run(_add(archive, claims(Ledger(), *issue(None))))
        assert refused.value.retry_after == 60
        issue(archive)
        until(lambda: told.failing, PATIENCE)  # it is told, as if it were broken


def test_what_a_slow_database_remembers_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_PATIENCE", 0.05)
    ledger, ready, slow = Ledger(), threading.Event(), Archive._add

    def add(self: Archive, given: Sequence[Claim]) -> list[bool]:
        ready.wait(PATIENCE)
        return slow(self, given)

    monkeypatch.setattr(Archive, "_add", add)
    texts = issue(None)

    async def send(archive: Archive) -> None:
        with pytest.raises(FeedbackUnavailable):
            await archive.add(claims(ledger, *texts), ledger.add)
        assert ledger.tallies == {}
        monkeypatch.setattr(archives, "_MOST_ADDING", 1)
        with pytest.raises(FeedbackUnavailable):  # at once: requests do not pile up behind it
            await archive.add(claims(ledger, *texts), ledger.add)
        ready.set()
        monkeypatch.undo()
        while not ledger.tallies:
            await asyncio.sleep(0.01)
        assert await archive.add(claims(ledger, *texts), ledger.add) == 0

    with opened(tmp_path / "a.db") as archive:
        asyncio.run(send(archive))
    (tally,) = ledger.tallies.values()
    assert (tally.rows, tally.repeats) == (2, 2)


def test_replicas_that_start_together_make_one_pair_of_tables(tmp_path: Path) -> None:
    several = [Archive(str(tmp_path / "a.db"), 1000, 30, Told()) for _ in range(4)]
    for archive in several:
        archive.start()
    for archive in several:
        issue(archive)
    for archive in several:
        archive.close()
    engine = connect(str(tmp_path / "a.db"))
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(answers)) == 8
    engine.dispose()
