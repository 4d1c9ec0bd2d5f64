"""Tensors from and to what the protocol writes, one by one; whole requests are in test_bad_input and test_endpoint."""

from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from app.api.v2 import tensors
from app.contract.signature import Port
from app.errors import InvalidInput, OutputNotFinite
from tests.app.api.v2.protocol import packed

NUMBERS = [name for name in tensors.DATATYPES if name not in ("str", "bool")]


def port(dtype: str) -> Port:
    return Port(name="x", dtype=dtype, sizes=("n",))


@pytest.mark.parametrize(
    ("dtype", "data", "shape", "message"),
    [
        ("float32", bytes(7), [2], r"expected 8 bytes for \[2\], got 7"),
        ("float32", bytes(9), [2], r"expected 8 bytes for \[2\], got 9"),
        ("int64", b"", [1], "expected 8 bytes"),
        ("bool", b"\x00\x02", [2], "expected bytes of 0 or 1"),
        ("str", bytes(3), [1], "expected 1 texts, each after 4 bytes of length, got 3 bytes"),
        ("str", b"\x02\x00\x00\x00a", [1], "text 0 is longer than what is left"),
        ("str", b"\xff\xff\xff\xffa", [1], "text 0 is longer than what is left"),
        ("str", b"\x01\x00\x00\x00\xff", [1], "text 0 is not UTF-8"),
        ("str", b"\x00\x00\x00\x00\x00", [1], "1 bytes are left after 1 texts"),
    ],
)
def test_bytes_that_are_no_such_tensor_are_refused(dtype: str, data: bytes, shape: list[int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        tensors.from_bytes(memoryview(data), port(dtype), shape, "inputs[0]")
    assert caught.value.field == "inputs[0]"


@pytest.mark.parametrize(
    ("dtype", "text", "shape", "field", "message"),
    [
        ("float16", b"[1]", [1], "d", "FP16 has no form in JSON"),
        ("float32", b"5", [1], "d", "expected an array of FP32"),
        ("float32", b"[1, 2", [2], "d", "expected an array of FP32"),
        ("float32", b"[1, 2]", [3], "d", r"expected 3 values for \[3\], got 2"),
        ("float32", b"[1, 1e39]", [2], "d[1]", "expected FP32, got 1e39"),
        ("float32", b"[[1, 2, 3], [4, null, 6]]", [2, 3], "d[1][1]", "expected FP32, got null"),
        ("float32", b'[1, 2, 3, 4, "5", 6]', [2, 3], "d[1][1]", 'expected FP32, got "5"'),
        ("float32", b"[[1], [2, 3]]", [2, 1], "d[1]", "nested as .*: expected 1 here, got 2"),
        ("float32", b"[[[1]]]", [1, 1], "d[0][0]", r"expected FP32, got \[1\]"),
        ("uint8", b"[255, 256]", [2], "d[1]", "expected UINT8, got 256"),
        ("uint8", b"[-1]", [1], "d[0]", "expected UINT8, got -1"),
        ("int64", b"[1.5]", [1], "d[0]", "expected INT64, got 1.5"),
        ("int32", b"[true]", [1], "d[0]", "expected INT32, got true"),
        ("bool", b"[0]", [1], "d[0]", "expected BOOL, got 0"),
        ("str", b"[1]", [1], "d[0]", "expected BYTES, got 1"),
        ("float32", b"[%s1]" % (b"1," * 100_000), [1], "d", "got more"),
    ],
)
def test_json_that_is_no_such_tensor_is_refused(
    dtype: str, text: bytes, shape: list[int], field: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        tensors.from_json(msgspec.Raw(text), port(dtype), shape, "d")
    assert caught.value.field == field


def values_of(dtype: str) -> NDArray[Any]:
    if dtype == "str":
        return np.array([["", "ü"], ["a b", "\n"]], object)
    if dtype == "bool":
        return np.array([[True, False], [False, True]])
    kind = np.dtype(dtype)
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    return np.array([[0, 1], [limits.min, limits.max]], kind)


@pytest.mark.parametrize("dtype", tensors.DATATYPES)
def test_bytes_come_back_as_they_were(dtype: str) -> None:
    values = values_of(dtype)
    data = bytes(tensors.to_bytes(values))
    assert data == packed(values)
    found = tensors.from_bytes(memoryview(data), port(dtype), values.shape, "x")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("dtype", [name for name in tensors.DATATYPES if name != "float16"])
@pytest.mark.parametrize("flat", [False, True])
def test_json_comes_back_as_it_was_nested_or_flat(dtype: str, flat: bool) -> None:
    values = values_of(dtype)
    text = msgspec.json.encode(values.ravel().tolist() if flat else values.tolist())
    found = tensors.from_json(msgspec.Raw(text), port(dtype), list(values.shape), "x")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    assert list(tensors.to_json(values, "x")) == values.ravel().tolist()


def test_numbers_share_their_memory_with_the_body_unless_they_lie_askew() -> None:
    body = np.arange(9, dtype=np.float32).tobytes()
    found = tensors.from_bytes(memoryview(body)[4:], port("float32"), [8], "x")
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))
    askew = tensors.from_bytes(memoryview(b"x" + body)[1:], port("float32"), [9], "x")
    assert askew.flags.aligned
    np.testing.assert_array_equal(askew, np.arange(9))


def test_big_endian_and_strided_arrays_go_out_as_the_protocol_wants_them() -> None:
    values = np.arange(6, dtype=">f4").reshape(2, 3).T
    assert bytes(tensors.to_bytes(values)) == packed(values.astype("<f4"))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_json_has_not_is_an_error(wrong: float) -> None:
    with pytest.raises(OutputNotFinite, match="y holds NaN or infinity"):
        tensors.to_json(np.array([0, wrong]), "y")
    with pytest.raises(InvalidInput, match="y is FP16, which has no form in JSON"):
        tensors.to_json(np.array([wrong], np.float16), "y")


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((1, 2, 3)), np.array([["a"]], object), np.array([[True]])])
def test_what_is_no_row_of_numbers_has_no_classes(values: NDArray[Any]) -> None:
    with pytest.raises(InvalidInput, match="y cannot be shown as classes"):
        tensors.classify(values, 1, (), "y")


def test_classes_are_the_largest_first_and_the_first_of_equals() -> None:
    values = np.array([[0.25, 0.5, 0.25], [0, 0, 1]], np.float32)
    found = tensors.classify(values, 2, ("a", "b", "c"), "y")
    assert found.tolist() == [["0.500000:1:b", "0.250000:0:a"], ["1.000000:2:c", "0.000000:0:a"]]
    assert tensors.classify(np.array([[3, 9]]), 5, (), "y").tolist() == [["9:1", "3:0"]]


def test_an_open_axis_is_shown_as_minus_1() -> None:
    assert tensors.shape_of(Port(name="x", dtype="float32", sizes=("B", None, 3, 0))) == [-1, -1, 3, 0]
