"""What one worker writes, all find."""

from pathlib import Path

from app.workers.notes import Notes
from app.workers.place import Place


def test_all_find_what_each_wrote_last(tmp_path: Path) -> None:
    one, other = (Notes("counts", dict[str, int], Place(index, 3, tmp_path)) for index in range(2))
    assert one.all() == {}
    one.write({"a": 1})
    other.write({"b": 2})
    one.write({"a": 3})
    assert one.all() == other.all() == {0: {"a": 3}, 1: {"b": 2}}
    successor = Notes("counts", dict[str, int], Place(1, 3, tmp_path))
    assert successor.all()[1] == {"b": 2}
    assert Notes("others", dict[str, int], Place(1, 3, tmp_path)).all() == {}
