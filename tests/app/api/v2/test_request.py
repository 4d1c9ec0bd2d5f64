"""A request's head, and the arrays in it or after it, by signatures that no shipped model has."""

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.api import json_arrays
from app.api.v2 import request as requests
from app.api.v2.request import Request
from app.contract import signature
from app.contract.axis import FreeAxis, Padding
from app.contract.signature import Port, Signature
from app.contract.tensor import Tensor
from app.engine.bare_model import Servable
from app.errors import InvalidInput, MalformedBody
from tests.app.api.v2.protocol import Head, binary_tensor, packed, tensor, write
from tests.app.engine.fakes import CONTRACT

ONE = signature.of(CONTRACT)
TWO = Signature(
    inputs=(Port(name="x", dtype="int32", sizes=("n", "n")), Port(name="y", dtype="str", sizes=(None,))),
    outputs=(Port(name="z", dtype="int32", sizes=("n",)),),
)
X = tensor("input", np.array([[1, 2]], np.float32))


def read(head: Head, *blobs: bytes, of: Signature = ONE) -> Request:
    body, headers = write(head, *blobs)
    (length,) = headers.values() or (None,)
    return requests.read(body, None if length is None else length.encode(), of)


def model(contract: Any = CONTRACT, of: Signature = ONE) -> Servable:
    return cast(Servable, SimpleNamespace(contract=contract, signature=of))


GIVEN = '{"name":"input","shape":[1,2],"datatype":"FP32","data":[1,2]}'


@pytest.mark.parametrize(
    "text",
    [
        GIVEN,
        '{"data":[1,2],"datatype":"FP32","shape":[1,2],"name":"input"}',
        f"{GIVEN},{GIVEN}",
        f"{GIVEN}]",
        GIVEN[:-1],
        GIVEN.replace("input", "data"),
        GIVEN.replace("{", '{"parameters":{"data":[1]},'),
        *(
            GIVEN.replace("[1,2]}", other)
            for other in (
                '[[1,2]],"parameters":{}}', '[1,2],"data":[3,4]}', '[1,,2],"data":[3,4]}', "[1,2}", "[1,NaN]}",
                "[1,2]]}", "[1]}", '["1",2]}', '[1,2],"parameters":{"data":[1]}}',
            )
        ),
    ],
)  # fmt: skip
def test_what_is_cut_out_unread_changes_no_answer(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome() -> object:
        try:
            found = requests.read(f'{{"inputs":[{text}]}}'.encode(), None, ONE)
            return {name: values.tolist() for name, values in requests.arrays(found, model(), 8).items()}
        except (InvalidInput, MalformedBody) as error:
            return type(error), error.message, error.field

    quickly = outcome()
    monkeypatch.setattr(json_arrays, "cut", lambda text, name: None)
    assert quickly == outcome()


@pytest.mark.parametrize("length", [b"", b"-1", b"1.0", b"x", b"3", b"9" * 19, "²".encode("latin-1")])
def test_a_length_of_the_head_that_is_none_is_refused(length: bytes) -> None:
    with pytest.raises(InvalidInput, match="expected a whole number from 0 to 2, the length of the body") as caught:
        requests.read(b"{}", length, ONE)
    assert caught.value.field == "Inference-Header-Content-Length"


@pytest.mark.parametrize(
    ("head", "field", "message"),
    [
        ({}, None, "missing required field `inputs`"),
        ({"inputs": [X], "id": "x" * 257}, "id", "length <= 256"),
        ({"inputs": [X], "parameters": {"sequence_id": 1}}, "parameters.sequence_id", "keeps anything"),
        ({"inputs": [X], "parameters": {"triton_x": 1}}, "parameters.triton_x", "reserved"),
        ({"inputs": [X], "parameters": {"timeout": -1}}, "parameters.timeout", ">= 0"),
        ({"inputs": [X], "parameters": {"x": "y" * 5000}}, "parameters", "fewer parameters"),
        ({"inputs": [{**X, "shape": [1, -1]}]}, "inputs[0].shape[1]", ">= 0"),
        ({"inputs": [{**X, "shape": [1] * 5000}]}, "inputs[0].shape", "fewer axes"),
        ({"inputs": [{**X, "data": None}]}, "inputs[0]", "either data or the parameter binary_data_size"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 8}}]}, "inputs[0]", "either data or"),
        ({"inputs": [{**X, "parameters": {"shared_memory_region": "a"}}]}, "inputs[0]", "shared memory"),
        ({"inputs": [X], "outputs": [{"name": "doubt"}]}, "outputs[0].name", "unknown output 'doubt'; there are: pred"),
        ({"inputs": [X], "outputs": [{"name": "energy"}] * 2}, "outputs[1].name", "more than once"),
        ({"inputs": [X], "outputs": [{"name": "energy", "parameters": {"classification": -1}}]},
         "outputs[0].parameters.classification", ">= 0"),
    ],
)  # fmt: skip
def test_a_head_that_says_something_else_names_the_place(head: Head, field: str | None, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(head)
    assert caught.value.field == field
    assert message in caught.value.message


def test_what_is_no_json_is_malformed() -> None:
    with pytest.raises(MalformedBody, match="not JSON"):
        requests.read(b'{"inputs": [', None, ONE)


@pytest.mark.parametrize(
    ("blob", "field", "message"),
    [
        (bytes(7), "inputs[0]", "expected 8 bytes after the JSON, 7 are left"),
        (bytes(9), None, "1 bytes after the JSON belong to no input"),
    ],
)
def test_bytes_after_the_head_belong_to_its_inputs(blob: bytes, field: str | None, message: str) -> None:
    described, _ = binary_tensor("input", np.zeros((1, 2), np.float32))
    with pytest.raises(InvalidInput, match=message) as caught:
        read({"inputs": [described]}, blob)
    assert caught.value.field == field


def test_a_request_tells_what_is_wanted_and_how_long_it_may_wait() -> None:
    parameters = {"timeout": 30_000, "binary_data_output": True}
    outputs = [{"name": "energy", "parameters": {"binary_data": False}}, {"name": "logits"}]
    found = read({"id": "", "inputs": [X], "outputs": outputs, "parameters": parameters})
    assert (found.id, found.seconds) == ("", 0.03)
    assert [(output.name, output.binary) for output in found.outputs] == [("energy", False), ("logits", True)]
    plain = read({"inputs": [X], "parameters": {"timeout": 0}})
    assert (plain.id, plain.seconds) == (None, None)
    assert [(output.name, output.binary) for output in plain.outputs] == [(port.name, False) for port in ONE.outputs]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([X, X], "'input' is there more than once"),
        ([], "expected the input 'input', too"),
        ([{**X, "name": "x"}], "unknown input 'x'; there are: input"),
        ([{**X, "datatype": "FP64"}], "expected FP32, got 'FP64'"),
        ([{**X, "shape": [1, 2, 1]}], r"expected the shape \[B, 2\], got \[1, 2, 1\]"),
        ([{**X, "shape": [2, 1]}], r"expected the shape \[B, 2\], got \[2, 1\]"),
        ([{**X, "shape": [0, 2], "data": []}], r"expected 1 to 2 rows \(MASKSEMBLES_MAX_ROWS\), got 0"),
        ([{**X, "shape": [3, 2], "data": [0] * 6}], r"expected 1 to 2 rows \(MASKSEMBLES_MAX_ROWS\), got 3"),
        ([{**X, "data": [1e39, 0]}], "expected FP32, got 1e39"),
    ],
)
def test_inputs_that_are_not_those_of_the_contract_are_refused(given: list[Head], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        requests.arrays(read({"inputs": given}), model(), 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -0.5])
def test_bytes_are_held_against_the_declared_range(value: float) -> None:
    (given,) = CONTRACT.inputs
    contract = CONTRACT.model_copy(update={"inputs": (given.model_copy(update={"range": (0.0, 1.0)}),)})
    good, bad = np.array([[0, 1]], np.float32), np.array([[0, value]], np.float32)
    for values in (good, bad):
        described, blob = binary_tensor("input", values)
        request = read({"inputs": [described]}, blob)
        if values is good:
            np.testing.assert_array_equal(requests.arrays(request, model(contract), 2)["input"], good)
        else:
            with pytest.raises(InvalidInput) as caught:
                requests.arrays(request, model(contract), 2)
            assert caught.value.field == "inputs[0].data[0][1]"


def test_axes_of_one_name_have_one_size_and_open_ones_any() -> None:
    words = tensor("y", np.array(["a", "b", "c"], object))
    square = read({"inputs": [tensor("x", np.eye(2, dtype=np.int32)), words]}, of=TWO)
    found = requests.arrays(square, model(None, TWO), 1)
    assert {name: values.tolist() for name, values in found.items()} == {
        "x": [[1, 0], [0, 1]], "y": ["a", "b", "c"],
    }  # fmt: skip
    oblong = read({"inputs": [tensor("x", np.zeros((2, 3), np.int32)), words]}, of=TWO)
    with pytest.raises(InvalidInput, match=r"expected the shape \[n, n\], got \[2, 3\]"):
        requests.arrays(oblong, model(None, TWO), 1)


def test_more_elements_than_memory_can_address_are_refused_unread() -> None:
    of = Signature(inputs=(Port(name="x", dtype="int8", sizes=(None, None)),), outputs=TWO.outputs)
    huge = read({"inputs": [{"name": "x", "datatype": "INT8", "shape": [2**40, 2**40], "data": []}]}, of=of)
    with pytest.raises(InvalidInput, match="expected fewer elements"):
        requests.arrays(huge, model(None, of), 1)


@pytest.mark.parametrize(
    ("of", "body", "message"),
    [
        (TWO, b"x", "only a model with one input takes it as the whole body; this has 2"),
        (ONE, bytes(12), r"times 8 bytes for \[B, 2\], got 12|8 bytes for \[B, 2\], got 12"),
        (Signature(inputs=TWO.inputs[:1], outputs=TWO.outputs), bytes(16), "only an input with one open axis"),
    ],
)
def test_a_body_that_is_not_the_only_input_is_refused(of: Signature, body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        requests.read(body, b"0", of)


def test_a_body_may_be_the_only_input() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = requests.read(packed(rows), b"0", ONE)
    np.testing.assert_array_equal(requests.arrays(found, model(), 3)["input"], rows)
    assert all(output.binary for output in found.outputs)
    text = Signature(inputs=(Port(name="y", dtype="str", sizes=(1,)),), outputs=TWO.outputs)
    assert requests.arrays(requests.read("ü".encode(), b"0", text), model(None, text), 1)["y"].tolist() == ["ü"]


def test_extra_fields_and_parameters_are_left_to_whoever_added_them() -> None:
    found = read({"inputs": [{**X, "more": {"deep": [1]}}], "more": json.dumps([1]), "parameters": {"key": "value"}})
    assert [given.name for given in found.inputs] == ["input"]


def test_every_channel_is_held_against_its_own_range() -> None:
    ranges = {"range": (0.0, 100.0), "channel_ranges": ((0.0, 1.0), (50.0, 100.0))}
    of = CONTRACT.model_copy(update={"inputs": (CONTRACT.inputs[0].model_copy(update=ranges),)})
    found = requests.arrays(read({"inputs": [tensor("input", np.array([[1, 50]], np.float32))]}), model(of), 8)
    assert found["input"].tolist() == [[1, 50]]
    with pytest.raises(InvalidInput, match=r"expected values in \[50, 100\] \(feature\), got 49") as caught:
        requests.arrays(read({"inputs": [tensor("input", np.array([[1, 50], [1, 49]], np.float32))]}), model(of), 8)
    assert caught.value.field == "inputs[0].data[1][1]"


PADDED = CONTRACT.model_copy(
    update={
        "inputs": (
            Tensor(name="ids", dtype="int64", shape=("B", "T"), unit="token", range=(0, 9)),
            Tensor(name="mark", dtype="bool", shape=("B", "T"), unit=""),
            Tensor(name="level", dtype="float32", shape=("B", 1), unit="m"),
        ),
        "axes": {"T": FreeAxis(least=2, most=8, padding=Padding(mark="mark"))},
    }
)
IDS, LEVEL = tensor("ids", np.array([[1, 2, 3]])), tensor("level", np.array([[0.5]], np.float32))


def test_inputs_come_in_any_order_and_marks_may_be_left_out() -> None:
    of = signature.of(PADDED)
    found = requests.arrays(read({"inputs": [LEVEL, IDS]}, of=of), model(PADDED, of), 8)
    assert {name: values.tolist() for name, values in found.items()} == {
        "ids": [[1, 2, 3]], "mark": [[True, True, True]], "level": [[0.5]],
    }  # fmt: skip
    assert list(found) == ["ids", "mark", "level"]
    marks = tensor("mark", np.array([[True, True, False]]))
    found = requests.arrays(read({"inputs": [LEVEL, marks, IDS]}, of=of), model(PADDED, of), 8)
    assert found["mark"].tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ([IDS], "inputs", "expected the input 'level', too"),
        ([LEVEL], "inputs", "expected the input 'ids', too"),
        ([IDS, IDS, LEVEL], "inputs[1].name", "'ids' is there more than once"),
        ([tensor("ids", np.array([[1]])), LEVEL], "inputs[0].shape[1]", "expected T = 2 to 8, got 1"),
        ([tensor("ids", np.array([[1, 10]])), LEVEL], "inputs[0].data[0][1]", "expected whole numbers in [0, 9]"),
        ([tensor("ids", np.array([[1, 2]] * 2)), LEVEL], "inputs[1].shape", "expected the shape [B, 1]"),
        ([IDS, tensor("mark", np.array([[True] * 2])), LEVEL], "inputs[1].shape", "expected the shape [B, T]"),
    ],
)
def test_inputs_of_several_that_do_not_go_together_are_refused(given: list[Head], field: str, message: str) -> None:
    of = signature.of(PADDED)
    with pytest.raises(InvalidInput) as caught:
        requests.arrays(read({"inputs": given}, of=of), model(PADDED, of), 8)
    assert caught.value.field == field
    assert message in caught.value.message
