import shutil
import stat
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.contract.reader import ContractError, read
from app.contract.schema import SCHEMA_VERSION
from models import artefact
from models.artefact import ArtefactError
from tests import artefacts
from tests.models.evaluation.two_heads import two_heads
from tests.serving import ROOT


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
        artefact.write(model, tmp_path / "repository", name)
    assert not (tmp_path / "repository").exists()


def test_the_file_tells_nothing_of_the_machine(tiny_repository: Path) -> None:
    content = (tiny_repository / "tiny" / "1" / "model.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path(__file__).parents[2]).encode() not in content


def test_what_is_wrong_with_a_file_is_named(tiny_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(tiny_repository, repository)
    path = repository / "tiny" / "1" / "model.onnx"
    with pytest.raises(ArtefactError, match="holds no model 'other'"):
        artefact.read(repository, "other")
    with pytest.raises(ArtefactError, match="no such file"):
        artefact.read(repository, "tiny", 2)
    model = onnx.load(path)
    model.metadata_props[0].value = '{"schema_version": 999}'
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ContractError, match="999 is newer than"):
        artefact.read(repository, "tiny")
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtefactError, match="has no contract"):
        artefact.read(repository, "tiny")
    path.write_bytes(model.SerializeToString()[:500])
    with pytest.raises(ArtefactError, match="truncated"):
        artefact.read(repository, "tiny")


def test_each_head_has_a_temperature_of_its_own() -> None:
    model, contract = two_heads()
    action, steering = contract.heads
    assert artefact.set_temperature(model, action, 0.1) == float(np.float32(0.1))
    held = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert (held["action.temperature"], held["steering.temperature"]) == (np.float32(0.1), 1.5)
    with pytest.raises(ArtefactError, match=r"the graph has no initializer named 'other\.temperature'"):
        artefact.set_temperature(model, steering.model_copy(update={"name": "other"}), 2)


def test_what_is_written_is_of_todays_schema() -> None:
    model, contract = artefacts.read(ROOT / "models" / "repository", "digits", 3)
    old = contract.model_copy(update={"schema_version": SCHEMA_VERSION - 1})  # as the reader leaves it
    artefact.embed(model, old)
    (text,) = (entry.value for entry in model.metadata_props)
    assert read(text) == old.model_copy(update={"schema_version": SCHEMA_VERSION})
