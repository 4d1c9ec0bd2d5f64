import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from app.contract import naming
from app.engine.device import Device
from app.engine.store import Store
from app.engine.verdict import verify
from app.errors import StartError, UnknownModel, UnknownVersion
from models import artefact
from models.export import export
from models.networks import mlp

CPU = Device("cpu", "cpu", "for tests")


@pytest.fixture
def store(tiny_store: Path, tmp_path: Path) -> Path:
    """tiny:1, tiny:2 and tiny:10, all good."""
    for version in (1, 2, 10):
        shutil.copytree(tiny_store / "tiny" / "1", tmp_path / "store" / "tiny" / str(version))
    return tmp_path / "store"


def model_file(store: Path, version: int) -> Path:
    return store / "tiny" / str(version) / "model.onnx"


def states(store: Store, name: str = "tiny") -> dict[int, str]:
    return {version.number: version.state for version in store.versions[name]}


def test_the_highest_valid_version_answers(store: Path) -> None:
    opened = Store(store, CPU)
    assert states(opened) == {1: "standby", 2: "standby", 10: "serving"}
    assert opened.find("tiny", None).version == 10
    assert opened.find(None, 10).version == 10
    with pytest.raises(UnknownVersion, match=r"version 2 of 'tiny' is not served; version 10 is"):
        opened.find("tiny", 2)
    with pytest.raises(UnknownModel, match=r"no model 'other' is served; there are: tiny"):
        opened.find("other", None)


def test_a_pinned_version_answers(store: Path) -> None:
    opened = Store(store, CPU, pin={"tiny": 2})
    assert states(opened) == {1: "standby", 2: "serving", 10: "standby"}
    assert opened.find("tiny", None).version == 2


def test_a_bad_version_is_refused_and_the_next_lower_one_serves(store: Path) -> None:
    model_file(store, 10).write_bytes(model_file(store, 10).read_bytes()[:1000])
    opened = Store(store, CPU)
    assert states(opened) == {1: "standby", 2: "serving", 10: "refused"}
    assert "truncated" in (opened.versions["tiny"][-1].reason or "")


def test_what_onnxruntime_refuses_is_refused_too(store: Path) -> None:
    model = onnx.load(model_file(store, 10))
    next(node for node in model.graph.node if node.op_type == "Exp").domain = "com.microsoft"  # no such operator there
    model.opset_import.add(domain="com.microsoft", version=1)
    model_file(store, 10).write_bytes(model.SerializeToString())
    opened = Store(store, CPU)
    assert states(opened) == {1: "standby", 2: "serving", 10: "refused"}
    assert "onnxruntime cannot load it" in (opened.versions["tiny"][-1].reason or "")


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


def test_a_graph_that_never_ends_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.model._SECONDS_TO_WARM_UP", 0.5)
    model = onnx.load(model_file(store, 10))
    endless(model)
    model_file(store, 10).write_bytes(model.SerializeToString())
    opened = Store(store, CPU)
    assert states(opened) == {1: "standby", 2: "serving", 10: "refused"}
    assert "its first run on 1 rows fails" in (opened.versions["tiny"][-1].reason or "")


def test_versions_that_stand_by_are_loaded_when_asked(store: Path) -> None:
    model = onnx.load(model_file(store, 1))
    next(node for node in model.graph.node if node.op_type == "Exp").domain = "com.microsoft"
    model.opset_import.add(domain="com.microsoft", version=1)
    model_file(store, 1).write_bytes(model.SerializeToString())
    assert states(Store(store, CPU)) == {1: "standby", 2: "standby", 10: "serving"}
    assert states(Store(store, CPU, load_all=True)) == {1: "refused", 2: "standby", 10: "serving"}


def test_a_folder_that_cannot_be_read_stops_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(store / "tiny", store / "closed")
    real = naming.versions

    def versions(folder: Path, name: str) -> list[int]:
        if name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(folder, name)

    monkeypatch.setattr(naming, "versions", versions)
    opened = Store(store, CPU)
    assert list(opened.serving) == ["tiny"]
    assert opened.versions["closed"] == []
    assert opened.unreadable == {"closed": "Permission denied"}


def test_a_pin_that_cannot_be_held_is_an_error(store: Path) -> None:
    with pytest.raises(StartError, match=r"tiny:3 cannot be served: the store has versions 1, 2, 10"):
        Store(store, CPU, pin={"tiny": 3})
    with pytest.raises(StartError, match=r"other:1 cannot be served: the store has no such model"):
        Store(store, CPU, pin={"other": 1})
    model_file(store, 2).write_bytes(b"no")
    with pytest.raises(StartError, match=r"tiny:2 cannot be served: not an ONNX file"):
        Store(store, CPU, pin={"tiny": 2})


def test_the_default_model(store: Path) -> None:
    shutil.copytree(store / "tiny", store / "other")
    with pytest.raises(UnknownModel, match=r"there is no default; there are: other, tiny"):
        Store(store, CPU).find(None, None)
    assert Store(store, CPU, default="tiny").find(None, None).name == "tiny"
    with pytest.raises(StartError, match=r"'missing' cannot be served; there are: other, tiny"):
        Store(store, CPU, default="missing")


def test_an_empty_store_serves_nothing(tmp_path: Path) -> None:
    opened = Store(tmp_path, CPU)
    assert opened.serving == {}
    with pytest.raises(StartError, match="is no folder that can be read"):
        Store(tmp_path / "missing", CPU)


def test_a_version_without_a_file_is_refused(store: Path) -> None:
    model_file(store, 10).unlink()
    opened = Store(store, CPU)
    assert opened.versions["tiny"][-1].reason == "cannot be read: No such file or directory"


def test_bytes_that_change_after_they_were_verified_are_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.engine import store as module

    def verify_and_swap(paths: object) -> object:
        verdicts = verify(paths)  # type: ignore[arg-type]
        model, _, _ = artefact.read(store, "tiny", 10)
        model.producer_name = "somebody else"
        model_file(store, 10).write_bytes(model.SerializeToString())
        return verdicts

    monkeypatch.setattr(module, "verify", verify_and_swap)
    opened = Store(store, CPU)
    assert states(opened)[10] == "refused"
    assert "bytes changed" in (opened.versions["tiny"][-1].reason or "")


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """net:1 and net:2 with a plan for the CPU beside them."""
    store = tmp_path / "planned"
    for _ in range(2):
        torch.manual_seed(0)
        network = mlp((6,), 3, submodels=3, hidden=(32, 32))
        export(network, torch.rand(2, 6), name="net", store=store, labels="abc", plan="branches")
    return store


def test_the_plan_of_the_device_is_preferred(planned: Path) -> None:
    model = Store(planned, CPU).find("net", None)
    assert model.contract.plan == "branches"
    assert model.contract.compilation is not None
    assert model.contract.compilation.device == "cpu"
    naming.plan_path(planned, "net", 2, "cpu").rename(naming.plan_path(planned, "net", 2, "cuda"))
    assert Store(planned, CPU).find("net", None).contract.plan == "folded"  # that of another device is not touched


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no model", r"model\.cpu\.onnx: not an ONNX file"),
        ("another", r"model\.cpu\.onnx: its contract is not that of model\.onnx"),
    ],
)
def test_a_bad_plan_is_no_reason_to_serve_something_else_in_silence(
    planned: Path, tiny_store: Path, content: bytes | str, reason: str
) -> None:
    path = naming.plan_path(planned, "net", 2, "cpu")
    path.write_bytes(content if isinstance(content, bytes) else model_file(tiny_store, 1).read_bytes())
    opened = Store(planned, CPU)
    assert states(opened, "net") == {1: "serving", 2: "refused"}
    assert re.search(reason, opened.versions["net"][1].reason or "")


def test_a_plan_without_the_portable_file_is_refused(planned: Path) -> None:
    naming.model_path(planned, "net", 2).unlink()
    opened = Store(planned, CPU)
    assert states(opened, "net") == {1: "serving", 2: "refused"}
    assert "No such file" in (opened.versions["net"][1].reason or "")
