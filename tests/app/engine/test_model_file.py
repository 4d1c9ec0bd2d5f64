import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.engine import model_file
from app.failures import FileUnreadable, ModelRejected
from tests.hostile.places import PLACES, put_pipe, put_terabytes, put_zeros


@pytest.mark.parametrize("content", [b"", b"a model", bytes(3_000_000)])
def test_a_file_is_read_whole_through_links_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "link").symlink_to("file")
    assert model_file.read(tmp_path / "file") == model_file.read(tmp_path / "link") == content


@pytest.mark.parametrize(("put", "reason"), PLACES.values(), ids=PLACES)
def test_what_is_no_file_of_a_model_is_not_read(tmp_path: Path, put: Callable[[Path], None], reason: str) -> None:
    path = tmp_path / "model.onnx"
    put(path)
    for look in (model_file.size, model_file.read):
        with pytest.raises((ModelRejected, OSError)) as raised:
            look(path)
        error = raised.value
        said = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        assert reason in said


@pytest.mark.parametrize("put", [put_pipe, put_zeros])
def test_what_takes_its_place_after_the_look_does_not_hold_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "model.onnx")
    monkeypatch.setattr(model_file, "size", lambda path: 0)  # it was one when it was looked at
    with pytest.raises(ModelRejected, match="not a regular file"):
        model_file.read(tmp_path / "model.onnx")


def test_a_pipe_that_somebody_writes_to_is_not_read_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_pipe(tmp_path / "model.onnx")
    monkeypatch.setattr(model_file, "size", lambda path: 0)
    writer = os.open(tmp_path / "model.onnx", os.O_RDWR)
    os.write(writer, b"a model")
    with pytest.raises(ModelRejected, match="not a regular file"):
        model_file.read(tmp_path / "model.onnx")
    os.close(writer)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_grows_or_shrinks_meanwhile_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: int
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model")
    look = os.fstat

    def changed(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        if found.st_ino == path.stat().st_ino:
            path.write_bytes(b"a model"[:change] if change < 0 else b"a model" * 1000)
        return found

    monkeypatch.setattr(os, "fstat", changed)
    with pytest.raises(FileUnreadable, match="changed while it was read"):
        model_file.read(path)


def test_a_file_that_never_stops_growing_comes_to_an_end(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(1_000_000))
    done = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not done.is_set() and file.tell() < 2**28:
                file.write(bytes(100_000))
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        for _ in range(20):
            with suppress(FileUnreadable):
                assert len(model_file.read(path)) < 2**29
    finally:
        done.set()
        writer.join()


def test_the_size_is_known_before_a_byte_is_read(tmp_path: Path) -> None:
    put_terabytes(tmp_path / "model.onnx")
    size = (tmp_path / "model.onnx").stat().st_size
    assert size >= 2**32
    with pytest.raises(ModelRejected, match=f"has {size} bytes; an ONNX file has at most 2147483647"):
        model_file.read(tmp_path / "model.onnx")
