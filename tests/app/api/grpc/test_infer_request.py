from typing import Any

import numpy as np
import pytest

from app.api.grpc.infer_request import InferMessage
from app.api.grpc.messages import InferRequest
from app.contract.signature import Port, Signature
from app.errors import InvalidInput
from tests.app.api.grpc.calling import request

ROWS = np.arange(6, dtype=np.float32).reshape(1, 6)
SIGNATURE = Signature(
    inputs=(Port(name="input", dtype="float32", sizes=("B", 6)),),
    outputs=tuple(Port(name=name, dtype="float32", sizes=("B",)) for name in "ab"),
)


def read(message: Any) -> Any:
    return InferMessage(message.SerializeToString()).read(SIGNATURE)


def typed(datatype: str, **contents: Any) -> Any:
    made = InferRequest(model_name="tiny")
    made.inputs.add(name="input", datatype=datatype, shape=[2], contents=contents)
    return made


def test_all_outputs_are_wanted_unless_some_are_named() -> None:
    assert [output.name for output in read(request("tiny", ROWS)).outputs] == ["a", "b"]
    made = request("tiny", ROWS)
    made.outputs.add(name="b").parameters["classification"].int64_param = 2
    (output,) = read(made).outputs
    assert (output.name, output.classes, output.binary) == ("b", 2, True)


def test_id_and_timeout() -> None:
    made = request("tiny", ROWS, id="7")
    assert (read(made).id, read(made).seconds) == ("7", None)
    made.parameters["timeout"].int64_param = 250_000
    made.parameters["priority"].uint64_param = 1
    assert read(made).seconds == 0.25


@pytest.mark.parametrize(
    ("datatype", "contents", "dtype", "expected"),
    [
        ("FP32", {"fp32_contents": [1.5, 2]}, "<f4", [1.5, 2]),
        ("FP64", {"fp64_contents": [1.5, 2]}, "<f8", [1.5, 2]),
        ("INT8", {"int_contents": [-128, 127]}, "i1", [-128, 127]),
        ("INT64", {"int64_contents": [-(2**62), 1]}, "<i8", [-(2**62), 1]),
        ("UINT8", {"uint_contents": [0, 255]}, "u1", [0, 255]),
        ("UINT64", {"uint64_contents": [0, 2**64 - 1]}, "<u8", [0, 2**64 - 1]),
        ("BOOL", {"bool_contents": [True, False]}, "?", [True, False]),
    ],
)
def test_values_one_by_one_are_bytes_afterwards(
    datatype: str, contents: dict[str, Any], dtype: str, expected: list[Any]
) -> None:
    (given,) = read(typed(datatype, **contents)).inputs
    assert np.frombuffer(given.data, dtype).tolist() == expected


def test_texts_have_their_length_before_them() -> None:
    (given,) = read(typed("BYTES", bytes_contents=[b"ab", b""])).inputs
    assert bytes(given.data) == b"\2\0\0\0ab\0\0\0\0"


@pytest.mark.parametrize(
    ("message", "field", "says"),
    [
        (typed("UINT8", uint_contents=[256, 0]), "inputs[0].contents.uint_contents", "expected UINT8"),
        (typed("INT8", int_contents=[-129, 0]), "inputs[0].contents.int_contents", "expected INT8"),
        (typed("FP32", fp64_contents=[1, 2]), "inputs[0].contents", "in fp32_contents, got fp64_contents"),
        (typed("FP16", fp32_contents=[1, 2]), "inputs[0].contents", "raw_input_contents"),
        (typed("FP8", fp32_contents=[1, 2]), "inputs[0].datatype", "unknown datatype 'FP8'"),
        (request("tiny", ROWS, id="x" * 257), "id", "at most 256"),
        (request("tiny", ROWS, outputs=[{"name": "c"}]), "outputs[0].name", "unknown output 'c'; there are: a, b"),
        (request("tiny", ROWS, outputs=[{"name": "a"}] * 2), "outputs[1].name", "more than once"),
        (request("tiny", ROWS, parameters={"sequence_id": {"int64_param": 1}}), "parameters.sequence_id", "keeps"),
        (request("tiny", ROWS, parameters={"triton_x": {"int64_param": 1}}), "parameters.triton_x", "reserved"),
        (request("tiny", ROWS, parameters={"timeout": {"int64_param": -1}}), "parameters.timeout", "Expected `int`"),
        (request("tiny", ROWS, parameters={"timeout": {"bool_param": True}}), "parameters.timeout", "Expected `int"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(message: Any, field: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("`", ".")) as raised:
        read(message)
    assert raised.value.field == field


def test_raw_contents_are_one_for_each_input() -> None:
    made = request("tiny", ROWS)
    made.raw_input_contents.append(b"")
    with pytest.raises(InvalidInput, match="one for each of the 1 inputs, got 2"):
        read(made)


def test_contents_come_in_one_way() -> None:
    made = request("tiny", ROWS)
    made.inputs[0].contents.fp32_contents.append(1)
    with pytest.raises(InvalidInput, match="either contents or raw_input_contents"):
        read(made)


def test_shared_memory_and_negative_sizes_are_refused() -> None:
    made = request("tiny", ROWS)
    made.inputs[0].parameters["shared_memory_region"].string_param = "x"
    with pytest.raises(InvalidInput, match="shared memory"):
        read(made)
    made = request("tiny", ROWS)
    made.inputs[0].shape[0] = -1
    with pytest.raises(InvalidInput, match="0 or more"):
        read(made)
