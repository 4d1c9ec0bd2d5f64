"""Rows from where a model is used: what it answered, as the service kept it, and what turned out to be true. Their
inputs nobody has. Needs the extra `feedback`.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from app.contract.field_database import FLOAT32, FLOAT64, answers, connect, truths
from app.contract.head import Head
from app.contract.schema import Contract
from models.data.dataset import DatasetError


@dataclass(frozen=True)
class FieldRows:
    """The B rows of one head whose truth came back, in random order."""

    outputs: dict[str, NDArray[Any]]
    """Those that the head's task calls `sufficient`, float32 [B, N, …] by plain name, as they were answered."""
    labels: NDArray[Any]
    """As `Split` has them."""
    decided: dict[str, tuple[int, int]]
    """By decision, empty where nobody had a policy: how many rows were kept, and how many of them have a truth."""

    def __len__(self) -> int:
        return len(self.labels)


def read_field(url: str, model: str, version: int, contract: Contract) -> dict[str, FieldRows]:
    """The rows of each head, by its name; of heads without receipts there are none.

    Raises:
        DatasetError: the database cannot be read, or another file than this version's filled it.
        ValueError: the URL is none; see `app.contract.field_database.connect`.
    """
    engine = connect(url)
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file is not None and not Path(file).exists():  # SQLite would make it
        raise DatasetError(f"{file}: no such file")
    try:
        if not inspect(engine).has_table(answers.name):
            raise DatasetError("the database holds no feedback: no service has it as MASKSEMBLES_FEEDBACK_URL")
        with engine.connect() as connection:
            return {
                head.name: _read(connection, (model, version, head.name), head, contract.num_submodels)
                for head in contract.heads
                if head.task_kind.sufficient(head) and not head.grid
            }
    except SQLAlchemyError as error:
        raise DatasetError(f"the database cannot be read: {error}") from error
    finally:
        engine.dispose()


def _read(connection: Connection, key: tuple[str, int, str], head: Head, submodels: int) -> FieldRows:
    # numbers are parts of signatures: their order is random
    found = connection.execute(_of(select(answers.c.outputs, truths.c.truth), key).order_by(answers.c.id)).all()
    tensors = {tensor.name: head.resolved(tensor, submodels) for tensor in head.outputs}
    shapes = {name: [int(size) for size in tensors[name].shape[1:]] for name in head.task_kind.sufficient(head)}
    widths = [prod(shape) for shape in shapes.values()]
    if any(len(outputs) != np.dtype(FLOAT32).itemsize * sum(widths) for outputs, _ in found):
        raise DatasetError("the rows are not those of this file: another one had its name and version")
    values = np.frombuffer(b"".join(outputs for outputs, _ in found), FLOAT32).reshape(len(found), sum(widths))
    parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
    true = np.frombuffer(b"".join(truth for _, truth in found), FLOAT64).reshape(len(found), len(head.targets) or 1)
    return FieldRows(
        outputs={name: part.reshape(-1, *shape) for (name, shape), part in zip(shapes.items(), parts)},
        labels=true[:, 0].astype(np.int64) if head.task_kind.answers == "labels" else true.astype(np.float32),
        decided=_decided(connection, key),
    )


def _decided(connection: Connection, key: tuple[str, int, str]) -> dict[str, tuple[int, int]]:
    counts = select(answers.c.action, func.count(), func.count(truths.c.id))
    found = connection.execute(_of(counts, key, all_rows=True).group_by(answers.c.action).order_by(answers.c.action))
    return {action: (rows, known) for action, rows, known in found}


def _of(columns: Select[Any], key: tuple[str, int, str], *, all_rows: bool = False) -> Select[Any]:
    """The rows of a head with their truths; or all of them, with their truths where there are any."""
    model, version, head = key
    joined = columns.select_from(answers.join(truths, answers.c.id == truths.c.id, isouter=all_rows))
    return joined.where(answers.c.model == model, answers.c.version == version, answers.c.head == head)
