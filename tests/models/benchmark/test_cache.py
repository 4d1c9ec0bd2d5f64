from pathlib import Path

import pytest

from models.benchmark.cache import Kept, difference, read

KEY = {"recipes": [{"epochs": 4, "options": {}}], "test": "a" * 64, "corrupted": None}


def test_what_is_kept_is_fresh_as_long_as_its_key_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    kept = Kept(path, KEY)
    assert (kept.fresh, kept.why_not) == (False, None)
    kept.write({"accuracy": 0.5})
    assert kept.fresh
    assert read(path) == {"accuracy": 0.5}
    again = Kept(path, {**KEY, "recipes": ({"epochs": 4, "options": {}},)})  # a tuple, as JSON has it
    assert (again.fresh, again.why_not) == (True, None)
    other = Kept(path, {**KEY, "corrupted": {"rows": 20}})
    assert (other.fresh, other.why_not) == (False, "corrupted was none, is absent; corrupted.rows was absent, is 20")
    other.remove()
    assert not path.exists()
    assert (other.fresh, other.why_not) == (False, None)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({**KEY, "recipes": [{"epochs": 5, "options": {}}]}, "recipes.0.epochs was 4, is 5"),
        ({**KEY, "test": "b" * 64}, "test was aaaaaaaa…, is bbbbbbbb…"),
        (
            {**KEY, "recipes": []},
            "recipes.0.epochs was 4, is absent; recipes.0.options was {}, is absent; recipes was absent, is []",
        ),
        ({**KEY, "gpu": True}, "gpu was absent, is True"),
        (KEY, ""),
    ],
)
def test_each_difference_is_told(now: dict[str, object], told: str) -> None:
    assert difference(KEY, now) == told
