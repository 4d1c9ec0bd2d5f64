"""The database of the field: what was answered to rows, and what turned out to be true of them. The service fills it
and `calibrate` reads it. Only here and in what keeps and reads it is SQLAlchemy imported, the extra `feedback`.

Inputs are never in it. Both tables have the receipt's number of 64 bits as their key, so each receipt is there once,
whichever replica wrote it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

FLOAT32, FLOAT64 = "<f4", "<f8"
_EXPECTED = "expected the path of a file, or a URL such as postgresql+psycopg://user:password@host/database"
_SECONDS = 10  # how long SQLite waits for another process to end its writing
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_KEY = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own key is an INTEGER, of 64 bits there

metadata = MetaData()

# The 1 in the names is the number of the layout: another one is another pair of tables.
answers = Table(
    "masksembles_answers_1",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),  # of the answer, in seconds since 1970
    Column("model", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("head", String, nullable=False),
    Column("action", String, nullable=False),  # what was decided; empty where nobody had a policy
    Column("outputs", LargeBinary, nullable=False),  # float32, the task's `sufficient` ones, one after the other
    Index("masksembles_answers_1_time", "time"),
)
truths = Table(
    "masksembles_truths_1",
    metadata,
    Column("id", _KEY, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False),  # of the answer, too
    Column("truth", LargeBinary, nullable=False),  # float64: the index of the class, or D numbers
    Index("masksembles_truths_1_time", "time"),
)


def connect(url: str) -> Engine:
    """An engine for the database; nothing is opened yet.

    Args:
        url: as SQLAlchemy has it, `sqlite:///PATH` or `postgresql+DRIVER://…`; a path alone is that of SQLite's file.

    Raises:
        ValueError: it is not such a URL, or its driver is missing. The message never contains the password.
    """
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except (ArgumentError, ValueError):  # the latter of a port that is no number
        raise ValueError(_EXPECTED) from None
    kind = parsed.get_backend_name()
    if kind not in _INSERT:
        raise ValueError(f"expected a database of SQLite or PostgreSQL, got {kind}")
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError(_EXPECTED)
    try:
        engine = create_engine(
            parsed,
            connect_args={"timeout": _SECONDS} if kind == "sqlite" else {},
            hide_parameters=True,  # or errors, which are logged, would hold truths
            pool_pre_ping=True,  # the database may have been restarted
        )
    except ModuleNotFoundError as error:
        raise ValueError(f"there is no {error.name}: install it, or name another driver") from error
    except NoSuchModuleError:
        raise ValueError(f"there is no driver {parsed.drivername}") from None
    if kind == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def insert_new(engine: Engine, table: Table) -> Any:
    """A statement that inserts rows, and leaves out those whose key is there."""
    return _INSERT[engine.dialect.name](table).on_conflict_do_nothing()


def signed(number: int) -> int:
    """A receipt's number, 0 to 2⁶⁴ − 1, as databases hold 64 bits."""
    return number - 2**63


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")  # who reads does not wait for who writes
    connection.execute("PRAGMA synchronous=NORMAL")  # a power cut may lose the last moments, never the file
