from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.contract.field_database import answers, connect, metadata, truths
from models.data import DatasetError
from models.data.field import read_field
from tests.models.evaluation.two_heads import two_heads

CONTRACT = two_heads()[1]
LOGITS = np.arange(18, dtype="<f4").reshape(3, 2, 3)
NUMBERS = np.arange(16, dtype="<f4").reshape(2, 2, 2, 2)  # rows, means and variances, submodels, targets


def answer(
    number: int, head: str, outputs: Any, action: str = "", model: str = "both", version: int = 1
) -> dict[str, Any]:
    told = {"model": model, "version": version, "head": head, "action": action}
    return {"id": number, "time": 5, **told, "outputs": outputs.tobytes()}


def truth(number: int, *values: float) -> dict[str, Any]:
    return {"id": number, "time": 5, "truth": np.array(values, "<f8").tobytes()}


def fill(url: Path, answered: list[dict[str, Any]], true: list[dict[str, Any]]) -> str:
    engine = connect(str(url))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(answers.insert(), answered)
        connection.execute(truths.insert(), true)
    engine.dispose()
    return str(url)


def test_each_head_gets_its_rows_with_truths(tmp_path: Path) -> None:
    answered = [
        answer(7, "action", LOGITS[0], "defer"),
        answer(3, "action", LOGITS[1], "accept"),
        answer(9, "action", LOGITS[2], "accept"),  # nobody said what was true
        answer(1, "steering", NUMBERS[0]),
        answer(2, "steering", NUMBERS[1]),
        answer(20, "action", LOGITS[0], model="other"),
        answer(21, "action", LOGITS[0], version=2),
    ]
    true = [truth(7, 2), truth(3, 0), truth(1, 0.5, -1), truth(2, 3, 4), truth(20, 1), truth(21, 1), truth(99, 1)]
    found = read_field(fill(tmp_path / "a.db", answered, true), "both", 1, CONTRACT)
    action, steering = found["action"], found["steering"]
    assert (len(action), len(steering)) == (2, 2)
    np.testing.assert_array_equal(action.outputs["logits"], LOGITS[[1, 0]])  # by number
    assert (action.labels.tolist(), action.labels.dtype) == ([0, 2], np.int64)
    assert action.decided == {"accept": (2, 1), "defer": (1, 1)}
    np.testing.assert_array_equal(steering.outputs["submodels"], NUMBERS[:, 0])
    np.testing.assert_array_equal(steering.outputs["submodel_variances"], NUMBERS[:, 1])
    np.testing.assert_array_equal(steering.labels, np.array([[0.5, -1], [3, 4]], np.float32))


def test_heads_without_rows_have_none(tmp_path: Path) -> None:
    found = read_field(fill(tmp_path / "a.db", [answer(1, "action", LOGITS[0])], [truth(2, 1)]), "both", 1, CONTRACT)
    assert {name: len(rows) for name, rows in found.items()} == {"action": 0, "steering": 0}
    assert found["action"].outputs["logits"].shape == (0, 2, 3)


def test_what_is_no_such_database_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.db: no such file"):
        read_field(str(tmp_path / "a.db"), "both", 1, CONTRACT)
    assert not (tmp_path / "a.db").exists()
    (tmp_path / "a.db").touch()
    with pytest.raises(DatasetError, match="holds no feedback"):
        read_field(str(tmp_path / "a.db"), "both", 1, CONTRACT)
    (tmp_path / "b.db").write_text("no database at all, but longer than the header of one" * 20)
    with pytest.raises(DatasetError, match=r"cannot be read: .*not a database"):
        read_field(str(tmp_path / "b.db"), "both", 1, CONTRACT)
    with pytest.raises(ValueError, match="SQLite or PostgreSQL"):
        read_field("mysql://host/a", "both", 1, CONTRACT)


def test_rows_of_another_file_are_refused(tmp_path: Path) -> None:
    url = fill(tmp_path / "a.db", [answer(1, "action", LOGITS[0, 0])], [truth(1, 1)])
    with pytest.raises(DatasetError, match="not those of this file"):
        read_field(url, "both", 1, CONTRACT)
