from typing import Literal

import onnx
import pytest

from app.contract.reader import read
from app.contract.schema import Contract
from app.contract.signature import Signature
from app.engine.rehearsal import rehearse
from app.engine.verifier_child import examine
from app.failures import ModelRejected
from tests.hostile.file import honest, poisoned

HEADER = '<ir_version: 10, opset_import: ["" : 20]>'
FAILS_AT_2 = "sizes = Constant<value = int64[2] {1, 6}>() poison = Reshape(input, sizes)"


def declared_by(content: bytes) -> Contract:
    return read(examine(content)["contract"])


def bare(text: str) -> tuple[bytes, Signature]:
    content = onnx.parser.parse_model(f"{HEADER} {text}").SerializeToString()
    return content, Signature.model_validate_json(examine(content)["signature"])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_fit_to_be_loaded_passes(device: Literal["cpu", "cuda"]) -> None:
    content = honest().SerializeToString()
    rehearse(content, declared_by(content), device)
    rehearse(*bare("g (float[n] x) => (float[n] y) { y = Neg(x) }"), device)


def test_a_run_is_made_only_where_the_service_would_make_it() -> None:
    content = poisoned(FAILS_AT_2)
    with pytest.raises(ModelRejected, match="its first run on 2 rows fails"):
        rehearse(content, declared_by(content), "cpu")
    rehearse(content, declared_by(content), "cuda")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_another_device_may_well_load_is_not_rejected_for_the_cpu(device: Literal["cpu", "cuda"]) -> None:
    contract = declared_by(honest().SerializeToString())
    if device == "cuda":
        rehearse(b"no graph that the CPU takes", contract, device)
    else:
        with pytest.raises(ModelRejected, match="onnxruntime cannot load it"):
            rehearse(b"no graph that the CPU takes", contract, device)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_want_of_memory_rejects_it_for_any_device(
    monkeypatch: pytest.MonkeyPatch, device: Literal["cpu", "cuda"]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ModelRejected("onnxruntime cannot load it: std::bad_alloc")

    monkeypatch.setattr("app.engine.rehearsal.Session", fail)
    with pytest.raises(ModelRejected, match="bad_alloc"):
        rehearse(b"", declared_by(honest().SerializeToString()), device)


def test_without_a_contract_a_run_may_fail_but_not_for_want_of_memory() -> None:
    large = "sizes = Constant<value = int64[2] {2097152, 2097152}>() y = Expand(x, sizes)"
    rehearse(
        *bare("g (float[1] x) => (int64[1] y) { two = Constant<value = int64[1] {5}>() y = Reshape(two, two) }"), "cpu"
    )
    with pytest.raises(ModelRejected, match="its first run fails: no memory"):
        rehearse(*bare(f"g (float[1] x) => (float[n, m] y) {{ {large} }}"), "cpu")
