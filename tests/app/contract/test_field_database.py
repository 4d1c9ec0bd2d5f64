from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from app.contract.field_database import connect, insert_new, metadata, signed, truths


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_a_key_is_there_once(tmp_path: Path, form: str) -> None:
    engine = connect(form.format(tmp_path / "a.db"))
    metadata.create_all(engine)
    rows = [{"id": key, "time": 1, "truth": b""} for key in (signed(0), signed(2**64 - 1))]
    for given, fresh in ((rows[:1], {-(2**63)}), (rows, {2**63 - 1}), (rows, set())):
        with engine.begin() as connection:
            statement = insert_new(engine, truths).returning(truths.c.id)
            assert set(connection.execute(statement, given).scalars()) == fresh
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(truths)) == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "the path of a file"),
        ("sqlite:///:memory:", "the path of a file"),
        ("mysql://user:hush@host/db", "SQLite or PostgreSQL, got mysql"),
        ("nonsense://user:hush@host/db", "SQLite or PostgreSQL, got nonsense"),
        ("postgresql+nonsense://user:hush@host/db", "no driver postgresql.nonsense"),
        ("postgresql://user:hush@host:port/db", "or a URL such as"),
        ("postgresql+pg8000://user:hush@host/db", "no pg8000: install it"),
    ],
)
def test_other_urls_are_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        connect(url)
    assert "hush" not in str(refused.value)


def test_an_error_holds_no_truth(tmp_path: Path) -> None:
    engine = connect(str(tmp_path / "a.db"))  # without tables
    with pytest.raises(OperationalError) as failed, engine.begin() as connection:
        connection.execute(insert_new(engine, truths), [{"id": 1, "time": 1, "truth": b"a secret diagnosis"}])
    assert "diagnosis" not in str(failed.value)
    engine.dispose()
