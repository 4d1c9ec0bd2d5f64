import logging
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
import pytest

from app.contract.reader import ContractError
from models import artefact
from models.artefact import ArtefactError


@pytest.fixture
def model(tiny_repository: Path) -> onnx.ModelProto:
    return artefact.read(tiny_repository, "tiny")[0]


def test_versions_count_up_and_are_never_overwritten(model: onnx.ModelProto, tmp_path: Path) -> None:
    assert artefact.write(model, tmp_path, "mine") == tmp_path / "mine" / "1" / "model.onnx"
    assert artefact.write(model, tmp_path, "mine", 7).parent.name == "7"
    assert artefact.write(model, tmp_path, "mine").parent.name == "8"
    before = (tmp_path / "mine" / "7" / "model.onnx").stat()
    with pytest.raises(FileExistsError, match="never overwritten"):
        artefact.write(model, tmp_path, "mine", 7)
    assert (tmp_path / "mine" / "7" / "model.onnx").stat() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_others_may_read_what_was_written(model: onnx.ModelProto, tmp_path: Path) -> None:
    path = artefact.write(model, tmp_path, "mine")
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o055 == 0o055
    assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044


def test_writers_at_the_same_time_never_share_a_version(model: onnx.ModelProto, tmp_path: Path) -> None:
    written: list[Path] = []

    def write() -> None:
        while True:
            try:
                written.append(artefact.write(model, tmp_path, "mine"))
            except FileExistsError:
                continue
            return

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.parent.name for path in written) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "/a", " a", "a b", ".a", "a" * 129])
def test_a_bad_name_is_refused(model: onnx.ModelProto, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a model name"):
        artefact.write(model, tmp_path / "store", name)
    assert not (tmp_path / "store").exists()


def test_the_file_tells_nothing_of_the_machine(tiny_repository: Path) -> None:
    content = (tiny_repository / "tiny" / "1" / "model.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path(__file__).parents[2]).encode() not in content


def test_what_is_wrong_with_a_file_is_named(tiny_repository: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(tiny_repository, store)
    path = store / "tiny" / "1" / "model.onnx"
    with pytest.raises(ArtefactError, match="holds no model 'other'"):
        artefact.read(store, "other")
    with pytest.raises(ArtefactError, match="no such file"):
        artefact.read(store, "tiny", 2)
    model = onnx.load(path)
    model.metadata_props[0].value = '{"schema_version": 999}'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ContractError, match="999 is newer than"):
        artefact.read(store, "tiny")
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtefactError, match="has no contract"):
        artefact.read(store, "tiny")
    path.write_bytes(model.SerializeToString()[:500])
    with pytest.raises(ArtefactError, match="truncated"):
        artefact.read(store, "tiny")


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO, "models")
    for cached in (artefact._has_gpu, artefact._tell):
        cached.cache_clear()
    yield caplog
    for cached in (artefact._has_gpu, artefact._tell):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("providers", "driver", "works", "device", "message"),
    [
        ([CPU], True, True, "cpu", None),
        ([CUDA, CPU], False, True, "cpu", None),
        ([CUDA, CPU], True, False, "cpu", "runs on the CPU: there is a GPU, but no such library"),
        ([CUDA, CPU], True, True, "cuda", "runs on the GPU"),
    ],
)
def test_a_model_runs_on_a_gpu_only_where_onnxruntime_can(
    model: onnx.ModelProto,
    told: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    providers: list[str],
    driver: bool,
    works: bool,
    device: str,
    message: str | None,
) -> None:
    asked = []

    def session(_: onnx.ModelProto, device: str) -> str:
        asked.append(device)
        if device == "cuda" and not works:
            raise ArtefactError("no such\nlibrary")
        return device

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(artefact, "_DRIVERS", (tmp_path / "none", tmp_path if driver else tmp_path / "none"))
    monkeypatch.setattr(artefact, "session", session)
    monkeypatch.setattr(artefact, "run_session", lambda session, *_: {"on": session})
    plan, contract = onnx.ModelProto(), artefact.read
    assert [artefact.where(model) for _ in range(2)] == [device] * 2
    assert artefact.run(model, [], []) == {"on": device}  # type: ignore[arg-type]
    assert artefact.served(model, {device: (plan, contract)}) is plan  # type: ignore[dict-item]
    assert artefact.served(model, {"other": (plan, contract)}) is model  # type: ignore[dict-item]
    assert told.messages == ([message] if message else [])
    assert ("cuda" in asked) is (message is not None)


def test_processes_that_share_the_cores_take_one_thread_each(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert artefact.session(model).get_session_options().intra_op_num_threads == 0
    monkeypatch.setattr(artefact, "threads", 1)
    assert artefact.session(model).get_session_options().intra_op_num_threads == 1
