import io
import json
import sys
from collections import Counter
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from app.api.body import LARGE
from app.api.predict.protocol import PredictCall
from app.engine.bare_model import BareModel
from app.errors import InvalidInput, UnsupportedMediaType
from tests.app.api.predict.answering import CLASSES, CLASSIFIER, model_of

JSON = {b"content-type": b"application/json"}
BODY = b'{"model": "a", "version": 3, "outputs": ["entropy"], "inputs": [[1, 2], [3, 4]]}'


def call(headers: dict[bytes, bytes] = JSON) -> PredictCall:
    return PredictCall(headers, b"", (4, 10_000))


@pytest.mark.parametrize("headers", [{}, {b"content-type": b"text/plain"}])
def test_another_content_type_is_refused_before_the_body_is_read(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(UnsupportedMediaType):
        call(headers)


def test_a_file_without_a_contract_is_for_v2_alone() -> None:
    asked = call()
    asked.locate(BODY)
    with pytest.raises(
        InvalidInput, match="plain has no contract, hence no uncertainty: /v2 alone serves it"
    ) as caught:
        asked.decode(BODY, cast(BareModel, SimpleNamespace(name="plain", contract=None)))
    assert caught.value.field == "model"


def test_too_many_rows_are_refused() -> None:
    body = json.dumps({"inputs": [[1, 2]] * 5}).encode()
    asked = call()
    asked.locate(body)
    with pytest.raises(InvalidInput, match="1 to 4 rows"):
        asked.decode(body, model_of(CLASSIFIER))


def test_the_body_names_the_model_and_what_is_wanted_of_it() -> None:
    asked = call()
    assert asked.target() is None
    found = asked.locate(BODY)
    assert (found.name, found.version) == ("a", 3)
    rows = asked.decode(BODY, model_of(CLASSIFIER))
    assert rows.inputs.keys() == {"input"}
    np.testing.assert_array_equal(rows.inputs["input"], np.array([[1, 2], [3, 4]], np.float32))
    assert rows.outputs == ("entropy",)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [(b"", "application/json"), (b"*/*", "application/json"), (b"application/x-npz", "application/x-npz")],
)
def test_it_answers_as_the_client_accepts_and_says_so_to_caches(accept: bytes, media_type: str) -> None:
    asked = call({**JSON, b"accept": accept})
    asked.locate(BODY)
    model = model_of(CLASSIFIER)
    asked.decode(BODY, model)
    encoded = asked.encode(model, CLASSES, Counter())
    assert encoded.media_type == media_type
    assert encoded.vary == "Accept, Accept-Encoding"
    assert ("Content-Disposition" in encoded.headers) == (media_type == "application/x-npz")  # a file to keep
    if media_type == "application/json":
        assert json.loads(encoded.content)["predictions"] == [{"entropy": 0.25}, {"entropy": 0.5}]


def test_what_is_long_is_heavy_to_read_and_what_is_much_heavy_to_write() -> None:
    asked = call()
    assert not asked.is_heavy(BODY, None)
    assert asked.is_heavy(bytes(10_000_000), None)
    asked.locate(BODY)
    asked.decode(BODY, model_of(CLASSIFIER))
    assert 400 <= asked.size({"entropy": np.zeros(100, np.float32)}) < LARGE
    picture = call({**JSON, b"accept": b"image/png"})
    picture._wanted = asked._wanted
    assert picture.size({"entropy": np.zeros(1, np.float32)}) > LARGE


@pytest.mark.parametrize(
    ("kind", "dtype"), [("application/json", "float32"), ("application/x-npy", "float64"), ("application/x-npy", ">f4")]
)
def test_rows_that_wait_do_not_keep_a_body_that_they_are_not(kind: str, dtype: str) -> None:
    rows = np.ones((4, 2), dtype)
    body = json.dumps({"inputs": rows.tolist()}).encode()
    if kind != "application/json":
        stream = io.BytesIO()
        np.save(stream, rows)
        body = stream.getvalue()
    before = sys.getrefcount(body)
    asked = call({b"content-type": kind.encode()})
    asked.locate(body)
    found = asked.decode(body, model_of(CLASSIFIER))
    np.testing.assert_array_equal(found.inputs["input"], rows)
    assert sys.getrefcount(body) == before


def test_rows_that_come_as_they_are_needed_are_not_copied() -> None:
    stream = io.BytesIO()
    np.save(stream, np.ones((4, 2), np.float32))
    asked = call({b"content-type": b"application/x-npy"})
    asked.locate(stream.getvalue())
    (rows,) = asked.decode(stream.getvalue(), model_of(CLASSIFIER)).inputs.values()
    assert not rows.flags.owndata
