import re
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from app.contract.repository import list_versions, model_path, plan_path
from app.contract.schema import Compilation
from app.contract.tensor import Tensor
from app.engine import heap, loader
from app.engine.device import Device
from app.engine.model import Model
from app.engine.model import load as load_model
from app.engine.options import RegistryOptions
from app.engine.reconciler import Reconciler, open_repository
from app.engine.verifier import verify
from app.errors import UnknownModel, UnknownVersion, VersionRejected
from app.failures import ModelRejected, StartError
from tests import artefacts, graphs
from tests.app.engine.fakes import until

CPU = Device("cpu", "cpu", "for tests")


@pytest.fixture
def folder(tiny_repository: Path, tmp_path: Path) -> Path:
    """tiny:1, tiny:2 and tiny:10, all good."""
    for version in (1, 2, 10):
        shutil.copytree(tiny_repository / "tiny" / "1", tmp_path / "repository" / "tiny" / str(version))
    return tmp_path / "repository"


def model_file(folder: Path, version: int) -> Path:
    return folder / "tiny" / str(version) / "model.onnx"


def states(reconciler: Reconciler, name: str = "tiny") -> dict[int, str]:
    return {version.number: version.state for version in reconciler.registry.models[name].versions}


def test_the_highest_valid_version_answers(folder: Path) -> None:
    opened = open_repository(folder, CPU)
    assert states(opened) == {1: "standby", 2: "standby", 10: "available"}
    assert opened.registry.find("tiny", None).version == 10
    assert opened.registry.find(None, 10).version == 10
    with pytest.raises(UnknownVersion, match=r"version 2 of 'tiny' is not served; there are: 10"):
        opened.registry.find("tiny", 2)
    with pytest.raises(UnknownModel, match=r"no model 'other' is served; there are: tiny"):
        opened.registry.find("other", None)


def test_a_pinned_version_answers(folder: Path) -> None:
    opened = open_repository(folder, CPU, RegistryOptions(pin={"tiny": 2}))
    assert states(opened) == {1: "standby", 2: "available", 10: "standby"}
    assert opened.registry.find("tiny", None).version == 2


def test_a_bad_version_is_refused_and_the_next_lower_one_serves(folder: Path) -> None:
    model_file(folder, 10).write_bytes(model_file(folder, 10).read_bytes()[:1000])
    opened = open_repository(folder, CPU)
    assert states(opened) == {1: "standby", 2: "available", 10: "rejected"}
    assert "truncated" in (opened.registry.models["tiny"].versions[-1].reason or "")


def test_what_onnxruntime_refuses_is_refused_too(folder: Path) -> None:
    model = onnx.load(model_file(folder, 10))
    next(node for node in model.graph.node if node.op_type == "Exp").domain = "com.microsoft"  # no such operator there
    model.opset_import.add(domain="com.microsoft", version=1)
    model_file(folder, 10).write_bytes(model.SerializeToString())
    opened = open_repository(folder, CPU)
    assert states(opened) == {1: "standby", 2: "available", 10: "rejected"}
    assert "onnxruntime cannot load it" in (opened.registry.models["tiny"].versions[-1].reason or "")


def endless(model: onnx.ModelProto) -> None:
    """Puts a loop without end before the entropy."""
    helper, kinds = onnx.helper, onnx.TensorProto
    for node in model.graph.node:
        node.output[:] = ["entropy_" if name == "entropy" else name for name in node.output]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Abs", ["before"], ["after"])],
        "body",
        [
            helper.make_tensor_value_info("trip", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("before", kinds.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", kinds.BOOL, []),
            helper.make_tensor_value_info("after", kinds.FLOAT, None),
        ],
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2**62), "trips"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "forever"))
    model.graph.node.append(helper.make_node("Loop", ["trips", "forever", "entropy_"], ["entropy"], body=body))


def test_a_graph_that_never_ends_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.model._SECONDS_TO_WARM_UP", 0.5)
    monkeypatch.setattr("app.engine.repository.verify", lambda paths, *_, **__: verify(paths, "cuda"))  # without a run
    model = onnx.load(model_file(folder, 10))
    endless(model)
    model_file(folder, 10).write_bytes(model.SerializeToString())
    opened = open_repository(folder, CPU)
    assert states(opened) == {1: "standby", 2: "available", 10: "rejected"}
    assert "its first run on 1 rows fails" in (opened.registry.models["tiny"].versions[-1].reason or "")


def test_versions_that_stand_by_are_loaded_when_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def load(name: str, version: int, *rest: Any) -> Model:
        if version == 1:
            raise ModelRejected("no memory on the device")
        return load_model(name, version, *rest)

    monkeypatch.setattr(loader, "load", load)
    assert states(open_repository(folder, CPU)) == {1: "standby", 2: "standby", 10: "available"}
    checked = open_repository(folder, CPU, RegistryOptions(load_all=True))
    assert states(checked) == {1: "rejected", 2: "standby", 10: "available"}


def test_a_folder_that_cannot_be_read_stops_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folder / "tiny", folder / "closed")
    real = list_versions

    def versions(folder: Path, name: str) -> list[int]:
        if name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(folder, name)

    monkeypatch.setattr("app.engine.listing.list_versions", versions)
    opened = open_repository(folder, CPU)
    assert list(opened.registry.serving) == ["tiny"]
    assert opened.registry.models["closed"].versions == ()
    assert opened.registry.unreadable == {"closed": "Permission denied"}


def test_a_pin_that_cannot_be_held_is_an_error(folder: Path) -> None:
    with pytest.raises(StartError, match=r"tiny:3 cannot be served: the repository has versions 1, 2, 10"):
        open_repository(folder, CPU, RegistryOptions(pin={"tiny": 3}))
    with pytest.raises(StartError, match=r"other:1 cannot be served: the repository has no such model"):
        open_repository(folder, CPU, RegistryOptions(pin={"other": 1}))
    model_file(folder, 2).write_bytes(b"no")
    with pytest.raises(StartError, match=r"tiny:2 cannot be served: not an ONNX file"):
        open_repository(folder, CPU, RegistryOptions(pin={"tiny": 2}))


def test_the_default_model(folder: Path) -> None:
    shutil.copytree(folder / "tiny", folder / "other")
    with pytest.raises(UnknownModel, match=r"there is no default; there are: other, tiny"):
        open_repository(folder, CPU).registry.find(None, None)
    assert open_repository(folder, CPU, RegistryOptions(default_model="tiny")).registry.find(None, None).name == "tiny"
    with pytest.raises(StartError, match=r"'missing' cannot be served; there are: other, tiny"):
        open_repository(folder, CPU, RegistryOptions(default_model="missing"))


def test_an_empty_repository_serves_nothing(tmp_path: Path) -> None:
    opened = open_repository(tmp_path, CPU)
    assert opened.registry.serving == {}
    with pytest.raises(StartError, match="is no folder that can be read"):
        open_repository(tmp_path / "missing", CPU)


def test_a_version_without_a_file_is_refused(folder: Path) -> None:
    model_file(folder, 10).unlink()
    opened = open_repository(folder, CPU)
    assert opened.registry.models["tiny"].versions[-1].reason == "cannot be read: No such file or directory"


def test_bytes_that_change_after_they_were_verified_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.engine import repository as module

    def verify_and_swap(paths: Sequence[Path], *terms: Any, **__: object) -> object:
        verdicts = verify(paths)
        model, _ = artefacts.read(folder, "tiny", 10)
        model.producer_name = "somebody else"
        model_file(folder, 10).write_bytes(model.SerializeToString())
        return verdicts

    monkeypatch.setattr(module, "verify", verify_and_swap)
    opened = open_repository(folder, CPU)
    assert states(opened)[10] == "rejected"
    assert "bytes changed" in (opened.registry.models["tiny"].versions[-1].reason or "")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net:1 and net:2 with a plan for the CPU beside them. Not to be written to: copy it."""
    folder = tmp_path_factory.mktemp("planned")
    model, contract = graphs.classifier(Tensor(name="input", dtype="float32", shape=("B", 6), unit="feature"), "xyz", 3)
    compilation = Compilation(device="cpu", macs=54, macs_single=18)
    for version in (1, 2):
        artefacts.write(folder, "net", model, contract)
        planned = contract.model_copy(update={"plan": "branches", "compilation": compilation})
        artefacts.save(plan_path(folder, "net", version, "cpu"), model, planned)
    return folder


@pytest.fixture
def planned(exported: Path, tmp_path: Path) -> Path:
    """A copy of these, to be changed."""
    return shutil.copytree(exported, tmp_path / "planned")


def test_the_plan_of_the_device_is_preferred(planned: Path) -> None:
    model = open_repository(planned, CPU).registry.find("net", None)
    assert model.contract.plan == "branches"
    assert model.contract.compilation is not None
    assert model.contract.compilation.device == "cpu"
    plan_path(planned, "net", 2, "cpu").rename(plan_path(planned, "net", 2, "cuda"))
    assert (
        open_repository(planned, CPU).registry.find("net", None).contract.plan == "folded"
    )  # that of another device is not touched


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no model", r"model\.cpu\.onnx: not an ONNX file"),
        ("another", r"model\.cpu\.onnx: its contract is not that of model\.onnx"),
    ],
)
def test_without_a_good_plan_a_version_is_served_and_says_so(
    planned: Path, tiny_repository: Path, content: bytes | str, reason: str
) -> None:
    path = plan_path(planned, "net", 2, "cpu")
    path.write_bytes(content if isinstance(content, bytes) else model_file(tiny_repository, 1).read_bytes())
    opened = open_repository(planned, CPU)
    assert states(opened, "net") == {1: "standby", 2: "available"}
    assert opened.registry.find("net", None).contract.plan == "folded"
    assert re.match(reason, opened.registry.models["net"].versions[1].reason or "")


def test_a_plan_that_onnxruntime_does_not_load_is_left_out(planned: Path) -> None:
    path = plan_path(planned, "net", 2, "cpu")
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "Exp").domain = "com.microsoft"  # no such operator there
    model.opset_import.add(domain="com.microsoft", version=1)
    path.write_bytes(model.SerializeToString())
    opened = open_repository(planned, CPU)
    assert opened.registry.find("net", None).version == 2
    assert opened.registry.find("net", None).contract.plan == "folded"
    reason = opened.registry.models["net"].versions[1].reason or ""
    assert reason.startswith("model.cpu.onnx: onnxruntime cannot load it")


def test_a_plan_that_comes_later_is_taken_in_when_it_is_whole(planned: Path) -> None:
    path = plan_path(planned, "net", 2, "cpu")
    content = path.read_bytes()
    path.unlink()
    opened = open_repository(planned, CPU)
    portable = opened.registry.find("net", None)
    path.write_bytes(content[: len(content) // 2])
    opened.refresh()
    assert opened.registry.find("net", None) is portable
    assert "model.cpu.onnx: not an ONNX file" in (opened.registry.models["net"].versions[1].reason or "")
    path.write_bytes(content)
    opened.refresh()
    assert opened.registry.find("net", None).version == 2
    assert opened.registry.find("net", None).contract.plan == "branches"
    assert opened.registry.models["net"].versions[1].reason is None


def test_a_plan_without_the_portable_file_is_refused(planned: Path) -> None:
    model_path(planned, "net", 2).unlink()
    opened = open_repository(planned, CPU)
    assert states(opened, "net") == {1: "available", 2: "rejected"}
    assert "No such file" in (opened.registry.models["net"].versions[1].reason or "")


Reports = list[tuple[str, str]]


@pytest.fixture
def reports() -> Reports:
    return []


@pytest.fixture
def running(tiny_repository: Path, tmp_path: Path, reports: Reports, monkeypatch: pytest.MonkeyPatch) -> Reconciler:
    """A folder over tmp_path/"repository" with tiny:1, where no file is read again for the time alone."""
    monkeypatch.setattr("app.engine.repository.COARSE_SECONDS", 0.0)
    shutil.copytree(tiny_repository, tmp_path / "repository")
    return open_repository(tmp_path / "repository", CPU, report=lambda name, result: reports.append((name, result)))


def add(folder: Path, version: int, content: bytes | None = None, name: str = "tiny") -> None:
    """A version more, as the workshop would put it there."""
    made = folder / f".{version}"
    shutil.copytree(folder / "tiny" / "1", made)
    if content is not None:
        (made / "model.onnx").write_bytes(content)
    made.rename(folder / name / str(version))


def test_a_new_version_takes_over_and_the_old_one_leaves_memory(
    running: Reconciler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmed: list[bool] = []
    monkeypatch.setattr(heap, "SECONDS", 0.05)
    monkeypatch.setattr(heap, "glibc_trim", lambda: lambda: trimmed.append(True))
    old = running.registry.find("tiny", None)
    add(tmp_path / "repository", 2)
    running.refresh()
    assert running.registry.find("tiny", None).version == 2
    assert states(running) == {1: "standby", 2: "available"}
    with pytest.raises(UnknownVersion):
        running.registry.find("tiny", 1)
    assert old.sessions[0].run({"input": np.zeros((1, 6), np.float32)}, ["entropy"])  # for those who are still at it
    left = weakref.ref(old)
    assert not trimmed
    del old
    assert left() is None  # without the collector, which runs seldom
    assert not trimmed
    until(lambda: trimmed == [True])


def test_what_is_still_being_written_is_left_for_the_next_look(running: Reconciler, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    whole = model_file(folder, 1).read_bytes()
    (folder / "tiny" / "2").mkdir()
    model_file(folder, 2).write_bytes(whole[:1000])
    running.refresh(settled=True)
    model_file(folder, 2).write_bytes(whole)
    running.refresh(settled=True)
    assert states(running) == {1: "available"}
    running.refresh(settled=True)
    assert states(running) == {1: "standby", 2: "available"}


def test_a_bad_version_is_refused_once_while_the_old_one_serves(
    running: Reconciler, tmp_path: Path, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.engine import repository as module

    add(tmp_path / "repository", 2, b"damaged")
    running.refresh()
    assert running.registry.find("tiny", None).version == 1
    assert states(running) == {1: "available", 2: "rejected"}
    assert "not an ONNX file" in (running.registry.models["tiny"].versions[-1].reason or "")
    monkeypatch.setattr(module, "verify", lambda *_, **__: pytest.fail("it was read again"))
    running.refresh()
    assert reports == [("tiny", "loaded"), ("tiny", "rejected")]


def test_a_version_that_cannot_be_loaded_is_not_tried_again_until_it_changes(
    running: Reconciler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.engine import loader as module

    tried: list[int] = []

    def load(name: str, number: int, *_: object) -> object:
        tried.append(number)
        raise ModelRejected("no memory on the device")

    add(tmp_path / "repository", 2)
    monkeypatch.setattr(module, "load", load)
    for _ in range(3):
        running.refresh()
    assert tried == [2]
    assert states(running) == {1: "available", 2: "rejected"}
    model_file(tmp_path / "repository", 2).touch()
    running.refresh()
    assert tried == [2, 2]


def test_a_refused_version_is_looked_at_again_when_it_changes(running: Reconciler, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    add(folder, 2, b"half")
    running.refresh()
    shutil.copy(model_file(folder, 1), model_file(folder, 2))
    running.refresh()
    assert states(running) == {1: "standby", 2: "available"}


def test_changed_bytes_under_a_served_version_are_reported_and_not_loaded(running: Reconciler, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    serving = running.registry.find("tiny", None)
    model, _ = artefacts.read(folder, "tiny")
    model.producer_name = "somebody else"
    for content in (model.SerializeToString(), b"damaged"):
        model_file(folder, 1).write_bytes(content)
        running.refresh()
        assert running.registry.find("tiny", None) is serving
        (version,) = running.registry.models["tiny"].versions
        assert version.state == "available"
        assert "its files changed after it was loaded" in (version.reason or "")


def test_touching_a_file_changes_nothing(running: Reconciler, tmp_path: Path) -> None:
    serving = running.registry.find("tiny", None)
    model_file(tmp_path / "repository", 1).touch()
    running.refresh()
    assert running.registry.find("tiny", None) is serving
    assert running.registry.models["tiny"].versions[0].reason is None


def test_removing_the_highest_version_rolls_back(running: Reconciler, tmp_path: Path) -> None:
    add(tmp_path / "repository", 2)
    running.refresh()
    shutil.rmtree(tmp_path / "repository" / "tiny" / "2")
    running.refresh()
    assert running.registry.find("tiny", None).version == 1
    assert states(running) == {1: "available"}


def test_a_model_does_not_go_with_its_folder(running: Reconciler, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "repository" / "tiny")
    running.refresh()
    assert running.registry.find("tiny", None).version == 1
    assert "its folder is gone" in (running.registry.models["tiny"].versions[0].reason or "")
    running.unload("tiny")
    assert running.registry.models == {}


def test_a_repository_that_cannot_be_read_changes_nothing(running: Reconciler, tmp_path: Path) -> None:
    (tmp_path / "repository").rename(tmp_path / "elsewhere")
    running.refresh()
    assert states(running) == {1: "available"}
    assert running.registry.models["tiny"].versions[0].reason is None


def test_a_model_that_is_new(running: Reconciler, tmp_path: Path) -> None:
    assert running.registry.default == "tiny"
    (tmp_path / "repository" / "other").mkdir()
    running.refresh()
    assert running.registry.find(None, None).name == "tiny"
    add(tmp_path / "repository", 1, name="other")
    running.refresh()
    assert running.registry.find("other", None).version == 1
    assert running.registry.default is None


def test_as_many_lower_versions_are_kept_as_asked_for(folder: Path) -> None:
    opened = open_repository(folder, CPU, RegistryOptions(keep_versions=1))
    assert states(opened) == {1: "standby", 2: "available", 10: "available"}
    assert opened.registry.find("tiny", 2).version == 2
    with pytest.raises(UnknownVersion, match=r"there are: 10, 2"):
        opened.registry.find("tiny", 1)
    kept = opened.registry.find("tiny", 10)
    add(folder, 11)
    opened.refresh()
    assert states(opened) == {1: "standby", 2: "standby", 10: "available", 11: "available"}
    assert opened.registry.find("tiny", 10) is kept


def test_a_pin_holds_when_a_higher_version_comes(folder: Path) -> None:
    opened = open_repository(folder, CPU, RegistryOptions(pin={"tiny": 2}, keep_versions=5))
    assert states(opened) == {1: "available", 2: "available", 10: "standby"}
    add(folder, 11)
    opened.refresh()
    assert opened.registry.find("tiny", None).version == 2


def test_unloading_and_loading(running: Reconciler, tmp_path: Path, reports: Reports) -> None:
    running.unload("tiny")
    with pytest.raises(UnknownModel, match=r"no model 'tiny' is served; there are: none"):
        running.registry.find("tiny", None)
    add(tmp_path / "repository", 2)
    running.refresh()
    assert states(running) == {1: "unloaded", 2: "unloaded"}  # it stays so
    assert running.load("tiny").default is running.registry.find("tiny", 2)
    assert reports == [("tiny", "loaded"), ("tiny", "unloaded"), ("tiny", "loaded")]
    for call in (running.load, running.unload):
        with pytest.raises(UnknownModel, match=r"no model 'dogs'; there are: tiny"):
            call("dogs")


def test_loading_what_is_not_fit_says_why(running: Reconciler, tmp_path: Path) -> None:
    running.unload("tiny")
    model_file(tmp_path / "repository", 1).write_bytes(b"no")
    with pytest.raises(VersionRejected, match=r"no version of 'tiny' is fit to be served \(1: not an ONNX file"):
        running.load("tiny")


def test_the_folder_is_followed(running: Reconciler, tmp_path: Path) -> None:
    running.watch(0.05)
    try:
        add(tmp_path / "repository", 2)
        until(lambda: running.registry.find("tiny", None).version == 2, 30)
    finally:
        running.close()


def test_bytes_changed_while_unloaded_are_not_served_under_the_same_version(
    running: Reconciler, tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    running.unload("tiny")
    model, _ = artefacts.read(folder, "tiny")
    model.producer_name = "somebody else"
    model_file(folder, 1).write_bytes(model.SerializeToString())
    with pytest.raises(VersionRejected, match="its files changed since they were served"):
        running.load("tiny")


def test_a_folder_that_cannot_be_read_for_a_moment_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_repository(folder, CPU, RegistryOptions(keep_versions=1))
    before = opened.registry.models
    with monkeypatch.context() as patch:
        patch.setattr(
            "app.engine.listing.list_versions",
            lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
        )
        opened.refresh()
    assert opened.registry.models == before
    assert opened.registry.find("tiny", 2).version == 2


def test_loading_on_request_tries_again_what_failed(
    running: Reconciler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.engine import loader as module

    def load(*_: object) -> object:
        raise ModelRejected("no memory on the device")

    add(tmp_path / "repository", 2)
    with monkeypatch.context() as patch:
        patch.setattr(module, "load", load)
        running.refresh()
    running.refresh()
    assert states(running) == {1: "available", 2: "rejected"}
    running.load("tiny")
    assert states(running) == {1: "standby", 2: "available"}


def test_trouble_with_one_model_does_not_keep_the_others_from_being_loaded(
    running: Reconciler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.engine import loader as module

    def load(name: str, *rest: object) -> object:
        if name == "bad":
            raise MemoryError("none left")
        return load_model(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "load", load)
    for name in ("bad", "other"):
        (tmp_path / "repository" / name).mkdir()
        add(tmp_path / "repository", 1, name=name)
    running.refresh()
    assert sorted(running.registry.serving) == ["other", "tiny"]
    assert running.registry.models["bad"].versions[0].reason == "cannot be loaded: none left"


def test_a_device_that_onnxruntime_does_not_take_ends_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.engine import loader as module

    def load(*_: object) -> object:
        raise StartError("chosen to run on cuda, but onnxruntime took its CPUExecutionProvider")

    monkeypatch.setattr(module, "load", load)
    with pytest.raises(StartError, match="onnxruntime took its CPUExecutionProvider"):
        open_repository(folder, CPU)
