import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from app.engine.verifier import verify
from tests.hostile.names import EVIL

Change = Callable[[onnx.ModelProto], None]


def contract(**changes: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        document = json.loads(model.metadata_props[0].value)
        for path, value in changes.items():
            *parents, last = [int(part) if part.isdigit() else part for part in path.split("__")]
            place = document
            for parent in parents:
                place = place[parent]
            place[last] = value
        model.metadata_props[0].value = json.dumps(document)

    return change


def without_contract(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def external_in_a_subgraph(model: onnx.ModelProto) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [], [onnx.numpy_helper.from_array(np.ones(2), "hidden")])
    external_tensor = inner.initializer[0]
    external_tensor.data_location = onnx.TensorProto.EXTERNAL
    external_tensor.external_data.add(key="location", value="weights.bin")
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil.example"
    model.opset_import.add(domain="evil.example", version=1)


def broken_graph(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


def without_temperature(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["warmth" if name == "temperature" else name for name in node.input]
    next(tensor for tensor in model.graph.initializer if tensor.name == "temperature").name = "warmth"


def renamed_output(model: onnx.ModelProto) -> None:
    model.graph.output[3].name = "doubt"
    for node in model.graph.node:
        node.output[:] = ["doubt" if name == "entropy" else name for name in node.output]


def nan_temperature(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "temperature")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(np.nan, np.float32), "temperature"))


def nan_weights(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("weight"))
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (contract(schema_version=6), "contract: schema_version: 6 is newer than 5"),
        (contract(num_submodels=4), "outputs.submodels.shape: declared ['B', 4, 3], the graph has ['B', 3, 3]"),
        (
            contract(heads__0__labels=["a", "b"]),
            "outputs.probabilities.shape: declared ['B', 2], the graph has ['B', 3]",
        ),
        (contract(inputs__0__shape=["B", 7]), "inputs.input.shape: declared ['B', 7], the graph has ['B', 6]"),
        (contract(inputs__0__dtype="uint8"), "inputs.input.dtype: declared uint8, the graph has float32"),
        (contract(inputs__0__name="x"), "inputs: declared x, the graph has input"),
        (contract(unheard_of=1), "contract: unheard_of: Extra inputs are not permitted"),
        (renamed_output, "outputs: declared prediction, probabilities, submodels, entropy"),
        (fixed_batch, "inputs.input.shape: declared ['B', 6], the graph has [1, 6]"),
        (without_temperature, "calibration.temperature: the graph has no scalar initializer"),
        (nan_temperature, "the weights of 'temperature' hold NaN"),
        (nan_weights, "hold NaN"),
        (external, "lie in an external file"),
        (external_in_a_subgraph, "the weights of 'hidden' lie in an external file"),
        (unknown_operator, "operators of an unknown domain: evil.example"),
        (broken_graph, "not a valid ONNX graph"),
    ],
)
def test_a_file_that_breaks_its_guarantees_is_refused(
    tiny_repository: Path, tmp_path: Path, change: Change, reason: str
) -> None:
    model = onnx.load(tiny_repository / "tiny" / "1" / "model.onnx")
    change(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert reason in (verify([path])[path].rejected or "accepted")


@pytest.mark.parametrize("content", [b"", b"no", b"\x08\x07", bytes(1000), b"\xff" * 1000])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert (verify([path])[path].rejected or "accepted").startswith("not an ONNX file, or truncated")


def test_another_temperature_than_declared_is_refused(digits_repository: Path, tmp_path: Path) -> None:
    model = onnx.load(digits_repository / "digits" / "1" / "model.onnx")
    contract(heads__0__calibration__temperature=1.5)(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert "calibration.temperature: declared 1.5, the graph has" in (verify([path])[path].rejected or "accepted")


def test_every_truncation_is_refused(tiny_repository: Path, tmp_path: Path) -> None:
    content = (tiny_repository / "tiny" / "1" / "model.onnx").read_bytes()
    paths = []
    for index, end in enumerate(np.linspace(1, len(content) - 1, 40).astype(int)):
        paths.append(tmp_path / f"{index}.onnx")
        paths[-1].write_bytes(content[:end])
    assert all(verification.rejected for verification in verify(paths).values())


def test_odd_paths_are_verified_like_any_other(tiny_repository: Path, tmp_path: Path) -> None:
    good = tiny_repository / "tiny" / "1" / "model.onnx"
    odd = [tmp_path / "new\nline", tmp_path / os.fsdecode(b"latin-\xe9"), tmp_path / "a folder", tmp_path / "fifo"]
    odd[0].write_bytes(good.read_bytes())
    odd[1].write_bytes(good.read_bytes())
    odd[2].mkdir()
    os.mkfifo(odd[3])
    reasons = [verification.rejected for verification in verify(odd).values()]
    assert reasons == [None, None, "not a regular file", "not a regular file"]


def test_a_good_file_among_bad_ones_is_accepted(tiny_repository: Path, tmp_path: Path) -> None:
    good, bad = tiny_repository / "tiny" / "1" / "model.onnx", tmp_path / "bad.onnx"
    bad.write_bytes(b"no")
    found = verify([bad, good, tmp_path / "missing.onnx"])
    assert found[good].rejected is None
    assert found[good].declared is not None
    assert found[bad].rejected
    assert found[tmp_path / "missing.onnx"].rejected == "cannot be read: No such file or directory"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read: Linux has one")
def test_only_what_is_not_the_fault_of_the_bytes_is_worth_another_look(tmp_path: Path) -> None:
    bad, broken = tmp_path / "bad.onnx", tmp_path / "broken.onnx"
    bad.write_bytes(b"no")
    broken.symlink_to("/proc/self/mem")  # a regular file; reading its first byte is an I/O error
    found = verify([bad, broken])
    assert found[bad].again is None
    assert found[broken].rejected == "cannot be read: Input/output error"
    assert found[broken].again == 2


@pytest.mark.slow
def test_many_files_may_take_longer_than_one_of_them(tiny_repository: Path, tmp_path: Path) -> None:
    content = (tiny_repository / "tiny" / "1" / "model.onnx").read_bytes()
    paths = [tmp_path / name for name in ("slow-1", "slow-2", "slow-3", "stuck", "slow-4")]
    for path in paths:
        path.write_bytes(content)
    found = verify(paths, module="tests.app.engine.dying_verifier")
    assert {path.name for path, verification in found.items() if verification.rejected} == {"stuck"}
    assert found[paths[3]].rejected == "took longer than 4 s to verify"
    assert found[paths[3]].again == 600


def test_a_file_that_kills_its_reader_is_refused_alone(tiny_repository: Path, tmp_path: Path) -> None:
    good = tiny_repository / "tiny" / "1" / "model.onnx"
    deadly = tmp_path / "deadly.onnx"
    deadly.write_bytes(b"no")
    found = verify([good, deadly, tiny_repository / "missing"], module="tests.app.engine.dying_verifier")
    assert found[good].rejected is None
    assert found[deadly].rejected == "its verifier ended with SIGKILL"
    assert found[deadly].again == 600
    assert found[tiny_repository / "missing"].rejected == "cannot be read: No such file or directory"


@pytest.mark.parametrize("names", [["fatal"], ["fatal", "good"], ["good", "fatal"], ["fatal", "fatal-2", "good"]])
def test_another_child_goes_on_where_one_ended(tiny_repository: Path, tmp_path: Path, names: list[str]) -> None:
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_bytes((tiny_repository / "tiny" / "1" / "model.onnx").read_bytes())
    found = verify(paths, module="tests.app.engine.dying_verifier")
    assert list(found) == paths
    for path, verification in found.items():
        assert verification.rejected == ("the verifier ended with -9" if "fatal" in path.name else None)
        assert verification.again == (600 if "fatal" in path.name else None)


def test_a_child_that_does_not_answer_is_not_waited_for(
    tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.engine.verifier._SECONDS", 2)
    good = tiny_repository / "tiny" / "1" / "model.onnx"
    found = verify([tmp_path / "deaf", good], module="tests.app.engine.dying_verifier")
    assert found[tmp_path / "deaf"].rejected == "the verifier took longer than 2 s"
    assert found[good].rejected is None


def test_a_child_that_cannot_even_begin_rejects_every_file(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    found = verify(paths, module="tests.app.engine.no_such_module")
    assert [found[path].rejected for path in paths] == ["the verifier ended with 1"] * 2


def test_what_each_file_took_is_told(tiny_repository: Path, tmp_path: Path) -> None:
    small, large = tiny_repository / "tiny" / "1" / "model.onnx", tmp_path / "large"
    large.write_bytes(bytes(150 * 2**20))
    found = verify([large, small])
    assert 2**24 < found[small].peak < found[large].peak - 50 * 2**20  # of its own process, not of the one before
    assert 0 < found[small].seconds < 60


def test_a_reason_is_one_short_line_of_plain_text(tiny_repository: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_repository / "tiny" / "1" / "model.onnx")
    model.opset_import.add(domain=EVIL + "x" * 1000, version=1)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    reason = verify([path])[path].rejected or ""
    assert reason.startswith(r"operators of an unknown domain: \x1b[2J ")
    assert reason.isprintable()
    assert len(reason) == 500
