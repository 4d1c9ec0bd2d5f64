import os
import time
from pathlib import Path

import pytest

from app.engine.stamp import FileStamp, Sightings

KEY = ("a", 1)
STAMP = FileStamp("model.onnx", 1, 2, 3, 4, 5, there=True)


def test_a_file_that_is_touched_or_replaced_has_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model")
    before = FileStamp.of(path)
    assert before == FileStamp.of(path)
    assert (before.name, before.size, before.there, before.age) == ("model.onnx", 7, True, 0)
    (tmp_path / "other").write_bytes(b"a modem")
    os.utime(tmp_path / "other", ns=(before.modified, before.modified))
    (tmp_path / "other").rename(path)
    assert FileStamp.of(path) != before
    assert not FileStamp.of(path).has_grown(before)


def test_a_missing_file_has_a_stamp_and_one_behind_a_broken_link_has_none(tmp_path: Path) -> None:
    assert FileStamp.of(tmp_path / "model.onnx") == FileStamp("model.onnx")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "link", tmp_path / "link" / "model.onnx", tmp_path / "missing" / "model.onnx"):
        with pytest.raises(FileNotFoundError):
            FileStamp.of(path)


def test_the_age_counts_any_change_and_leaves_a_minute_to_clocks_that_differ() -> None:
    now = time.time_ns()
    assert STAMP.age > 10**9
    assert STAMP._replace(changed=now).age == 0
    assert STAMP._replace(modified=now + 10**12).age == 0
    assert STAMP._replace(changed=now - 100 * 10**9).age == pytest.approx(40, abs=5)


def test_a_file_is_settled_when_it_has_not_grown_between_two_looks() -> None:
    sightings = Sightings()

    def settled(stamp: FileStamp) -> bool:
        (sighting,) = sightings.look(KEY, [stamp])
        return sighting.settled

    assert not settled(STAMP)
    assert settled(STAMP)
    assert not settled(STAMP._replace(size=9))
    assert settled(STAMP._replace(size=9, inode=7))  # of a mount whose inodes do not last
    sightings.keep_only(lambda key: key != KEY)
    assert not settled(STAMP._replace(size=9))


def test_it_is_remembered_since_when_a_file_is_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.engine.stamp.time.monotonic", lambda: now)
    stamp = STAMP._replace(changed=time.time_ns())
    sightings = Sightings()
    assert sightings.look(KEY, [stamp])[0].since == 100
    now = 200.0
    assert sightings.look(KEY, [stamp])[0].since == 100
    assert sightings.look(KEY, [stamp._replace(inode=7)])[0].since == 200
