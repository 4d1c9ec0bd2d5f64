import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.api.body import LARGE, LARGE_BINARY
from app.api.inference import RequestedModel
from app.api.v2.protocol import InferCall
from app.contract import signature
from app.contract.signature import Port, Signature
from app.engine.bare_model import Servable
from tests.app.api.predict.answering import CLASSES, CLASSIFIER
from tests.app.api.v2.protocol import binary_tensor, packed, tensor, write

TARGET = RequestedModel("a", 3)
ROWS = np.array([[1, 2], [3, 4]], np.float32)


def call(length: str | None = None) -> InferCall:
    headers = {} if length is None else {b"inference-header-content-length": length.encode()}
    return InferCall(headers, TARGET, max_rows=4)


def model(contract: Any = CLASSIFIER, of: Signature | None = None) -> Servable:
    found = of or signature.of(contract)
    return cast(Servable, SimpleNamespace(name="a", version=3, contract=contract, signature=found))


@pytest.mark.parametrize("length", [None, "x", "", str(LARGE + 1), "9" * 30])
def test_much_json_is_heavy_whatever_its_header_says(length: str | None) -> None:
    heavy = length is None or len(length) > 2
    assert call(length).is_heavy(bytes(LARGE + 1), model()) is heavy


def test_bytes_are_heavy_later_unless_they_are_texts() -> None:
    texts = Signature(inputs=(Port(name="y", dtype="str", sizes=(None,)),), outputs=())
    assert not call("10").is_heavy(bytes(LARGE + 1), model())
    assert not call("10").is_heavy(bytes(LARGE + 1), None)
    assert call("10").is_heavy(bytes(LARGE + 1), model(None, texts))
    assert call("10").is_heavy(bytes(LARGE_BINARY + 1), model())
    assert not call().is_heavy(bytes(LARGE), model(None, texts))


def test_the_path_names_the_model() -> None:
    assert call().target() == call().locate(b"no JSON") == TARGET


@pytest.mark.parametrize("binary", [False, True])
def test_a_model_with_a_contract_gets_its_rows(binary: bool) -> None:
    described, *blobs = binary_tensor("input", ROWS) if binary else (tensor("input", ROWS),)
    asked = {"inputs": [described], "outputs": [{"name": "energy"}], "parameters": {"timeout": 5_000_000}}
    body, headers = write(asked, *blobs)
    (length,) = headers.values() or (None,)
    rows = call(length).decode(body, model())
    np.testing.assert_array_equal(rows.inputs["input"], ROWS)
    assert (rows.outputs, rows.seconds) == (("energy",), 5.0)


def test_one_without_gets_all_inputs_by_name_as_one_row() -> None:
    of = Signature(inputs=(Port(name="x", dtype="float32", sizes=(None, 2)),), outputs=())
    rows = call().decode(write({"inputs": [tensor("x", ROWS)]})[0], model(None, of))
    ((name, values),) = rows.inputs.items()
    assert name == "x"
    np.testing.assert_array_equal(values, ROWS)


@pytest.mark.parametrize(("binary", "media_type"), [(False, "application/json"), (True, "application/octet-stream")])
def test_an_answer_with_bytes_says_where_they_begin(binary: bool, media_type: str) -> None:
    asked = call()
    outputs = [{"name": "energy", "parameters": {"binary_data": binary}}]
    asked.decode(write({"inputs": [tensor("input", ROWS)], "outputs": outputs})[0], model())
    assert asked.size(CLASSES) == CLASSES["energy"].nbytes
    encoded = asked.encode(model(), CLASSES, Counter())
    assert encoded.media_type == media_type
    assert encoded.vary == "Accept-Encoding"
    if binary:
        length = int(encoded.headers["Inference-Header-Content-Length"])
        assert encoded.content[length:] == packed(CLASSES["energy"])
    else:
        assert encoded.headers == {}


def test_rows_that_wait_do_not_keep_the_body() -> None:
    body, _ = write({"inputs": [tensor("input", ROWS)]})
    before = sys.getrefcount(body)
    asked = call()
    rows = asked.decode(body, model())
    assert sys.getrefcount(body) == before
    np.testing.assert_array_equal(rows.inputs["input"], ROWS)
