from pathlib import Path

from app.engine.scanned_version import ScannedVersion, UnverifiedVersion
from app.engine.stamp import FileStamp

STAMP = (FileStamp("model.onnx", size=5, there=True), FileStamp("model.cpu.onnx", size=2, there=True))


def test_a_version_knows_what_it_is_without_its_plan() -> None:
    portable = ScannedVersion("a", 1, STAMP, path=Path("model.onnx"), digests=("p",))
    planned = ScannedVersion("a", 1, STAMP, path=Path("model.cpu.onnx"), digests=("p", "q"), portable=portable)
    found = planned.without_plan("no memory")
    assert (found.path, found.digests, found.remark) == (portable.path, ("p",), "model.cpu.onnx: no memory")
    assert portable.without_plan("no memory") is portable


def test_when_to_look_again_does_not_make_another_version() -> None:
    assert ScannedVersion("a", 1, STAMP, again_at=5, delay=2) == ScannedVersion("a", 1, STAMP)
    assert ScannedVersion("a", 1, STAMP).key == ("a", 1)


def test_the_size_of_a_version_is_that_of_all_its_files() -> None:
    version = UnverifiedVersion("a", 1, STAMP, (), 0.0)
    assert (version.key, version.size) == (("a", 1), 7)
