"""What the child process says of a file; that it is a process, and how long it may take, is in test_verifier."""

import hashlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from app.contract.reader import read as read_contract
from app.contract.signature import Signature
from app.engine import verifier_child
from app.engine.verifier_child import examine, limits_for, verify_file
from app.failures import ModelRejected
from tests import artefacts, graphs

HEADER = '<ir_version: 10, opset_import: ["" : 20]>'


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEADER} {text}")


def two_contracts(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="masksembles", value=model.metadata_props[0].value)


def nan_in_a_constant(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Constant", output=["hidden"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(
        onnx.numpy_helper.from_array(np.array([1, np.nan], np.float16), "of a node")
    )


def external_in_a_sparse_one(model: onnx.ModelProto) -> None:
    values = model.graph.sparse_initializer.add().values
    values.name = "sparse"
    values.external_data.add(key="location", value="/etc/passwd")


def unknown_in_a_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="com.microsoft").node.add(op_type="Run", domain="evil.example")


def temperature_of_two(model: onnx.ModelProto) -> None:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "temperature")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones(1, np.float32), "temperature"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (two_contracts, "duplicate keys in metadata_props"),
        (nan_in_a_constant, "the weights of 'of a node' hold NaN"),
        (external_in_a_sparse_one, "the weights of 'sparse' lie in an external file"),
        (unknown_in_a_function, "operators of an unknown domain: evil.example"),
        (temperature_of_two, "the graph has no scalar initializer named temperature"),
    ],
)
def test_what_hides_in_a_corner_is_found(
    tiny_repository: Path, change: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    model, _ = artefacts.read(tiny_repository, "tiny")
    change(model)
    with pytest.raises(ModelRejected, match=reason):
        examine(model.SerializeToString())


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        ("g () => (float[1] y) <float[1] x = {1}> { y = Neg(x) }", "has no contract, and no inputs"),
        ("g (seq(float[1]) x) => (float[n] y) { y = ConcatFromSequence<axis = 0>(x) }", "'x' is no tensor"),
        ("g (bfloat16[1] x) => (bfloat16[1] y) { y = Neg(x) }", "'x' is no tensor of a type and rank that /v2 knows"),
        ("g (float[1] x) => (float y) { y = Neg(x) }", None),
    ],
)
def test_without_a_contract_a_signature_must_be_one_that_v2_knows(graph: str, reason: str | None) -> None:
    content = parsed(graph).SerializeToString()
    if reason is None:
        assert examine(content).keys() == {"signature"}
    else:
        with pytest.raises(ModelRejected, match=reason):
            examine(content)


@pytest.mark.parametrize("content", [b"", b"no", onnx.ModelProto(ir_version=10).SerializeToString()])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelRejected, match="not an ONNX file, or truncated"):
        examine(content)


@pytest.mark.parametrize("aleatoric", [True, False])
def test_a_good_file_declares_its_contract(tmp_path: Path, aleatoric: bool) -> None:
    model, contract = graphs.regressor(aleatoric=aleatoric)
    found = examine(artefacts.write(tmp_path, "numbers", model, contract).read_bytes())
    assert found.keys() == {"contract"}
    assert read_contract(found["contract"]) == contract


def test_a_file_without_one_declares_its_signature_without_what_has_a_value_of_its_own() -> None:
    model = parsed("g (float[n, ?, 3] x, int64[2] shape) => (float[a, b] y) { y = Reshape(x, shape) }")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 3]), "shape"))
    signature = Signature.model_validate_json(examine(model.SerializeToString())["signature"])
    assert [(port.name, port.dtype, port.sizes) for port in signature.inputs] == [("x", "float32", ("n", None, 3))]
    assert [(port.name, port.dtype, port.sizes) for port in signature.outputs] == [("y", "float32", ("a", "b"))]


def test_every_path_gets_its_line_and_none_ends_the_process(
    tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tiny_repository / "tiny" / "1" / "model.onnx"

    def stumble(content: bytes) -> dict[str, str]:
        match content:
            case b"unforeseen":
                raise KeyError("x\n" * 1000)
            case b"greedy":
                raise MemoryError
            case b"deadly":
                os.kill(os.getpid(), signal.SIGKILL)
        return examine(content)

    for name in ("bad", "unforeseen", "greedy", "deadly"):
        (tmp_path / name).write_text(name)
    paths = [tmp_path / "missing", tmp_path, *(tmp_path / name for name in ("bad", "unforeseen", "greedy", "deadly"))]
    monkeypatch.setattr(verifier_child, "examine", stumble)
    lines = "".join(json.dumps(str(path)) + "\n" for path in [*paths, good])
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    verifier_child.main()
    missing, folder, bad, unforeseen, greedy, deadly, found = map(json.loads, capsys.readouterr().out.splitlines())
    assert missing["unreadable"] == "cannot be read: No such file or directory"
    assert folder["rejected"] == "not a regular file"
    assert bad["rejected"].startswith("not an ONNX file, or truncated")
    assert unforeseen["rejected"].startswith("cannot be verified: KeyError: 'x")
    assert len(unforeseen["rejected"]) == 500
    assert greedy["rejected"] == f"took more than {limits_for(6).memory // 2**20} MB to verify"
    assert deadly["killed"] == "its verifier ended with SIGKILL"
    assert found.keys() == {"sha256", "contract", "seconds", "peak"}
    assert found["sha256"] == hashlib.sha256(good.read_bytes()).hexdigest()
    assert found["seconds"] > 0
    assert found["peak"] > 2**24


def test_a_file_is_read_and_loaded(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(verifier_child, "rehearse", lambda *arguments: given.extend(arguments))
    path = tiny_repository / "tiny" / "1" / "model.onnx"
    found = verify_file(path, "cuda", allow_bare=False)
    assert given == [path.read_bytes(), read_contract(found["contract"]), "cuda"]


def test_without_a_contract_it_is_loaded_only_where_it_may_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ModelRejected("it was loaded")

    monkeypatch.setattr(verifier_child, "rehearse", fail)
    (tmp_path / "bare").write_bytes(parsed("g (float[1] x) => (float[1] y) { y = Neg(x) }").SerializeToString())
    assert "signature" in verify_file(tmp_path / "bare", "cpu", allow_bare=False)
    assert verify_file(tmp_path / "bare", "cpu", allow_bare=True) == {"rejected": "it was loaded"}


def test_want_of_memory_is_not_taken_for_a_fault_of_the_file(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ModelRejected("onnxruntime cannot load it: std::bad_alloc")

    monkeypatch.setattr(verifier_child, "rehearse", fail)
    with pytest.raises(MemoryError):
        verify_file(tiny_repository / "tiny" / "1" / "model.onnx", "cpu", allow_bare=False)


def test_a_larger_file_may_take_more_but_never_most_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_child, "memory_size", lambda: 2**37)
    small, large = limits_for(0), limits_for(2**31)
    assert (small.memory, small.cpu_seconds) == (4 * 2**30, 30)
    assert (large.memory, large.cpu_seconds) == (20 * 2**30, 234)
    monkeypatch.setattr(verifier_child, "memory_size", lambda: 2**31)
    assert limits_for(0).memory == limits_for(2**31).memory == 2**30
