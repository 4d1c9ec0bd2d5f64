"""The content types and encodings that POST /predict reads and writes, and what it says to broken ones."""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.api.predict.tasks import ANSWERS

NPY, NPZ, JSON, PNG = "application/x-npy", "application/x-npz", "application/json", "image/png"
GREY = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
FEATURES = np.arange(12).reshape(2, 6)


def encode(pixels: NDArray[np.uint8], form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def npy(array: NDArray[Any], version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version)
    return stream.getvalue()


def headed(header: str, data: bytes = bytes(24), version: int = 1) -> bytes:
    """A body in NumPy's format with that header, whatever it says."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


def part(name: str | bytes, content: bytes, filename: str | None = None, more: str = "") -> bytes:
    label = name if isinstance(name, bytes) else name.encode()
    named = f'; filename="{filename}"' if filename is not None else ""
    return b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n%s\r\n%s\r\n' % (
        label, named.encode(), more.encode(), content,
    )  # fmt: skip


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--B--\r\n"


def predict(
    client: httpx.Client, kind: str, body: bytes, query: dict[str, str] | None = None, **headers: str
) -> httpx.Response:
    sent = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.post("/predict", content=body, params=query, headers=sent)


def answer(client: httpx.Client, kind: str, body: bytes, query: dict[str, str] | None = None) -> dict[str, Any]:
    response = predict(client, kind, body, query)
    assert response.status_code == 200, response.text
    return response.json()


def by_json(client: httpx.Client, inputs: Any, **fields: Any) -> dict[str, Any]:
    return client.post("/predict", json={"inputs": inputs, **fields}).raise_for_status().json()


def digits_by_json(client: httpx.Client, pixels: NDArray[np.uint8], **fields: Any) -> dict[str, Any]:
    values = pixels.astype(np.float32) / np.float32(255)
    return by_json(client, values[:, None].tolist(), model="digits", **fields)


def is_refused(client: httpx.Client, response: httpx.Response, status: int, code: str, field: str | None) -> str:
    """That an answer is the one error body, and that the next request is answered; gives the message."""
    body = response.json()
    assert body.keys() == {"error"}
    error = body["error"]
    assert (response.status_code, error["code"], error.get("field")) == (status, code, field), error
    assert error.keys() == {"code", "message", "request_id"} | ({"field"} if field is not None else set())
    assert error["request_id"] == response.headers["x-request-id"]
    assert response.headers["content-type"] == JSON
    assert "predictions" in by_json(client, [[0.5] * 6])
    return str(error["message"])


def test_a_picture_is_answered_as_its_pixels_are(client: httpx.Client) -> None:
    expected = digits_by_json(client, GREY[:1])
    assert answer(client, PNG, encode(GREY[0]), {"model": "digits"}) == expected
    assert answer(client, "Image/PNG; charset=x", encode(GREY[0]), {"model": "digits"}) == expected
    lossless = encode(np.repeat(GREY[0][..., None], 3, axis=2), "WEBP", lossless=True)
    assert answer(client, "image/webp", lossless, {"model": "digits"}) == expected


def test_a_jpeg_is_answered_as_its_pixels_are(client: httpx.Client) -> None:
    content = encode(GREY[0], "JPEG", quality=90)
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert answer(client, "image/jpeg", content, {"model": "digits"}) == digits_by_json(client, pixels[None])


def test_a_form_has_a_row_for_each_file_in_order(client: httpx.Client) -> None:
    files = [("inputs", ("a.png", encode(pixels), PNG)) for pixels in GREY]
    files[1] = ("inputs", ("a.webp", encode(np.repeat(GREY[1][..., None], 3, axis=2), "WEBP", lossless=True), ""))
    data = {"model": "digits", "version": "1", "outputs": "entropy,prediction", "id": "dé,f"}
    response = client.post("/predict", files=files, data=data)
    fields: dict[str, Any] = {"version": 1, "outputs": ["entropy", "prediction"], "id": "dé,f"}
    assert response.json() == digits_by_json(client, GREY, **fields)
    assert len(response.json()["predictions"]) == 3
    turned = client.post("/predict", files=files[::-1], data={"model": "digits"}).json()["predictions"]
    assert turned == digits_by_json(client, GREY[::-1])["predictions"]


def test_fields_and_files_of_a_form_come_in_any_order(client: httpx.Client) -> None:
    parts = [part("inputs", encode(GREY[0]), "a"), part("model", b"digits"), part("inputs", encode(GREY[1]), "a")]
    kind = "multipart/form-data; charset=utf-8; boundary=B"
    assert answer(client, kind, form(*parts)) == digits_by_json(client, GREY[:2])
    assert answer(client, 'Multipart/Form-Data; boundary="B"', form(*parts)) == digits_by_json(client, GREY[:2])


DTYPES = ["f2", "f4", "f8", ">f2", ">f4", ">f8", "g", "i1", "u1", "i2", ">i4", "u8", ">i8"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_any_kind_of_number_are_answered_as_json_is(client: httpx.Client, dtype: str) -> None:
    array = FEATURES.astype(dtype)
    expected = by_json(client, FEATURES.tolist())
    for version in ((1, 0), (2, 0)):
        assert answer(client, NPY, npy(array, version)) == expected
    assert answer(client, NPY, npy(np.asfortranarray(array))) == expected


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u4", "i8"])
def test_bytes_are_taken_from_any_whole_numbers(client: httpx.Client, dtype: str) -> None:
    array = np.array([[[0, 255], [128, 7]], [[1, 2], [3, 4]]], dtype)
    expected = by_json(client, array.tolist(), model="bytes")
    assert answer(client, NPY, npy(array), {"model": "bytes"}) == expected
    assert answer(client, NPY, npy(np.asfortranarray(array)), {"model": "bytes"}) == expected


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=64, max_size=64), min_size=1, max_size=3))
def test_float32_is_answered_as_the_same_numbers_as_json(client: httpx.Client, rows: list[list[float]]) -> None:
    array = np.array(rows, np.float32).reshape(-1, 1, 8, 8)
    expected = by_json(client, array.tolist(), model="digits")
    assert answer(client, NPY, npy(array), {"model": "digits"}) == expected


OUTPUTS = [name for name in ANSWERS["classification"].menus[0].selectable if name != "receipt"]
"""Those that are the same each time; receipts are in tests/app/api/feedback/test_endpoint.py."""
KINDS: dict[str, tuple[str, bytes]] = {
    "array": (NPY, npy(GREY[:1, None].astype(np.float32) / np.float32(255))),
    "picture": (PNG, encode(GREY[0])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_query_says_what_json_says_in_the_body(client: httpx.Client, kind: str) -> None:
    query = {"model": "digits", "version": "1", "outputs": "logits,energy", "id": "a b&c"}
    found = answer(client, *KINDS[kind], query)
    assert found == digits_by_json(client, GREY[:1], version=1, outputs=["logits", "energy"], id="a b&c")
    assert found["id"] == "a b&c"
    assert found["predictions"][0].keys() == {"logits", "energy"}


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_can_be_asked_for_in_every_content_type(client: httpx.Client, output: str) -> None:
    expected = digits_by_json(client, GREY[:1], outputs=[output])
    for kind in KINDS.values():
        assert answer(client, *kind, {"model": "digits", "outputs": output}) == expected
    parts = (part("model", b"digits"), part("outputs", output.encode()), part("inputs", encode(GREY[0]), "a"))
    assert answer(client, "multipart/form-data; boundary=B", form(*parts)) == expected


@pytest.mark.parametrize(
    ("query", "status", "code", "field", "message"),
    [
        ("model=digits&model=digits", 422, "invalid_input", "model", "more than once"),
        ("model=digits&outputs=energy&outputs=entropy", 422, "invalid_input", "outputs", "more than once"),
        ("model=", 422, "invalid_input", "model", "matching regex"),
        ("model=..%2Fdigits", 422, "invalid_input", "model", "matching regex"),
        ("model=digits%0A", 422, "invalid_input", "model", "matching regex"),
        ("model=cats", 404, "unknown_model", "model", "there are"),
        ("model=digits&version=7", 404, "unknown_version", "version", "there are: 1"),
        ("model=digits&version=0", 422, "invalid_input", "version", ">= 1"),
        ("model=digits&version=one", 422, "invalid_input", "version", "Expected `int"),
        ("model=digits&version=", 422, "invalid_input", "version", "Expected `int"),
        ("model=digits&version=1000000000", 422, "invalid_input", "version", "<= 999999999"),
        ("model=digits&outputs=", 422, "invalid_input", "outputs[0]", "unknown output ''"),
        ("model=digits&outputs=entropy,,energy", 422, "invalid_input", "outputs[1]", "unknown output ''"),
        ("model=digits&outputs=entropy,doubt", 422, "invalid_input", "outputs[1]", "unknown output 'doubt'"),
        ("model=digits&output=prediction", 422, "invalid_input", "output", "there are: model, version, outputs"),
        ("model=digits&utm_source=x", 422, "invalid_input", "utm_source", "unknown query parameter"),
        (f"model=digits&id={'x' * 257}", 422, "invalid_input", "id", "length <= 256"),
    ],
)
def test_a_wrong_query_is_refused(
    client: httpx.Client, query: str, status: int, code: str, field: str, message: str
) -> None:
    for kind, body in KINDS.values():
        response = client.post(f"/predict?{query}", content=body, headers={"content-type": kind})
        assert message in is_refused(client, response, status, code, field)


@pytest.mark.parametrize("field", ["model", "version", "outputs", "id"])
def test_what_belongs_in_the_body_is_refused_in_the_query(client: httpx.Client, field: str) -> None:
    body = form(part("model", b"digits"), part("inputs", encode(GREY[0]), "a"))
    for kind, content in ((JSON, b'{"inputs": [[1,1,1,1,1,1]]}'), ("multipart/form-data; boundary=B", body)):
        response = predict(client, kind, content, {field: "1"})
        assert "belongs in the body" in is_refused(client, response, 422, "invalid_input", field)
        response = predict(client, kind, content, {"output": "1"})
        assert "unknown query parameter" in is_refused(client, response, 422, "invalid_input", "output")


@pytest.mark.parametrize("kind", [NPY, JSON, PNG])
def test_a_query_with_very_many_fields_is_no_failure_of_the_service(client: httpx.Client, kind: str) -> None:
    body = b'{"inputs": [[0.5, 0.5, 0.5, 0.5, 0.5, 0.5]]}'
    response = client.post(f"/predict?{'a&' * 200}", content=body, headers={"content-type": kind})
    assert response.status_code == 422, response.text


DESCRIBED = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}"
GOOD_HEADER = DESCRIBED.format("'<f4'", False, (1, 6))


def described(descr: object = "<f4", fortran: object = False, shape: object = (1, 6)) -> bytes:
    return headed(DESCRIBED.format(repr(descr), fortran, shape))


MALFORMED, INVALID = "malformed_body", "invalid_input"
PICKLED = io.BytesIO()
np.save(PICKLED, np.array([[{}, 1, 2, 3, 4, 5]], object), allow_pickle=True)

# What is posted as an array to tiny, [B, 6], and the code, field and a part of the message that come back.
BAD_ARRAYS: dict[str, tuple[bytes, str, str, str]] = {
    "nothing": (b"", MALFORMED, "inputs", "NumPy's format"),
    "no array": (b"[[1, 2, 3, 4, 5, 6]]", MALFORMED, "inputs", "NumPy's format"),
    "npz": (b"PK\x03\x04" + bytes(60), MALFORMED, "inputs", "NumPy's format"),
    "magic only": (b"\x93NUMPY", MALFORMED, "inputs", "NumPy's format"),
    "version 3": (npy(FEATURES.astype("f4"), (3, 0)), MALFORMED, "inputs", "version 3.0"),
    "version 9": (headed(GOOD_HEADER, version=9), MALFORMED, "inputs", "version 9.0"),
    "header cut off": (npy(FEATURES)[:40], MALFORMED, "inputs", "NumPy's format"),
    "header of 4 GB": (b"\x93NUMPY\2\0\xff\xff\xff\xff{}", MALFORMED, "inputs", "NumPy's format"),
    "long header": (headed(GOOD_HEADER + " " * 20_000), MALFORMED, "inputs", "NumPy's format"),
    "header no literal": (headed("__import__('os').getcwd()"), MALFORMED, "inputs", "NumPy's format"),
    "header no dictionary": (headed("[1, 2]"), MALFORMED, "inputs", "NumPy's format"),
    "header lacks the shape": (headed("{'descr': '<f4', 'fortran_order': False}"), MALFORMED, "inputs", "format"),
    "header with more": (headed(GOOD_HEADER[:-1] + "'x': 1}"), MALFORMED, "inputs", "NumPy's format"),
    "header with a NUL": (headed("\0"), MALFORMED, "inputs", "NumPy's format"),
    "header of brackets": (headed("(" * 5000), MALFORMED, "inputs", "NumPy's format"),
    "header of signs": (headed("-" * 9000 + "1"), MALFORMED, "inputs", "NumPy's format"),
    "header with a control": (headed("\x1b[2J\r\n"), MALFORMED, "inputs", "NumPy's format"),
    "unknown descr": (described("<q9"), MALFORMED, "inputs", "NumPy's format"),
    "order no boolean": (described(fortran=7), MALFORMED, "inputs", "NumPy's format"),
    "shape no tuple": (described(shape=[1, 6]), MALFORMED, "inputs", "NumPy's format"),
    "shape of floats": (described(shape=(1.0, 6)), MALFORMED, "inputs", "NumPy's format"),
    "objects": (PICKLED.getvalue(), INVALID, "inputs", "got an array of object"),
    "declared objects": (described("|O"), INVALID, "inputs", "got an array of object"),
    "structured": (npy(np.zeros((1, 6), [("a", "f4")])), INVALID, "inputs", "expected float32"),
    "subarrays": (described(("<f4", (6,))), INVALID, "inputs", "expected float32"),
    "strings": (npy(FEATURES.astype("U3")), INVALID, "inputs", "expected float32, got an array of <U3"),
    "bytes": (npy(FEATURES.astype("S3")), INVALID, "inputs", "expected float32, got an array of |S3"),
    "complex": (npy(FEATURES.astype("c8")), INVALID, "inputs", "got an array of complex64"),
    "booleans": (npy(FEATURES > 3), INVALID, "inputs", "got an array of bool"),
    "times": (npy(FEATURES.astype("m8[s]")), INVALID, "inputs", "got an array of timedelta64[s]"),
    "raw": (described("|V4"), INVALID, "inputs", "expected float32, got an array of |V4"),
    "no axes": (npy(np.array(1, np.float32)), INVALID, "inputs", "expected the shape [B, 6], got []"),
    "one axis": (npy(np.zeros(6)), INVALID, "inputs", "expected the shape [B, 6], got [6]"),
    "three axes": (npy(np.zeros((1, 1, 6))), INVALID, "inputs", "got [1, 1, 6]"),
    "another size": (npy(np.zeros((6, 1))), INVALID, "inputs", "got [6, 1]"),
    "no rows": (npy(np.zeros((0, 6))), INVALID, "inputs", "expected 1 to 500 rows"),
    "too many rows": (npy(np.zeros((501, 6))), INVALID, "inputs", "expected 1 to 500 rows (MASKSEMBLES_MAX_ROWS)"),
    "too many rows declared": (described(shape=(2**40, 6)), INVALID, "inputs", "expected 1 to 500 rows"),
    "a negative size": (described(shape=(-1, 6)), INVALID, "inputs", "expected the shape"),
    "more declared": (described(shape=(500, 6)), MALFORMED, "inputs", "expected 12000 bytes of numbers, got 24"),
    "cut off": (npy(FEATURES.astype("f4"))[:-1], MALFORMED, "inputs", "expected 48 bytes of numbers, got 47"),
    "goes on": (npy(FEATURES.astype("f4")) + b"\0", MALFORMED, "inputs", "expected 48 bytes of numbers, got 49"),
    "NaN": (npy(np.where(FEATURES == 9, np.nan, 0)), INVALID, "inputs[1][3]", "finite"),
    "infinity": (npy(np.where(FEATURES == 4, np.inf, 0)), INVALID, "inputs[0][4]", "finite"),
    "beyond float32": (npy(np.where(FEATURES == 5, 1e39, 0)), INVALID, "inputs[0][5]", "fit float32"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_a_broken_array_is_refused(client: httpx.Client, case: str) -> None:
    body, code, field, message = BAD_ARRAYS[case]
    assert message in is_refused(client, predict(client, NPY, body), 422, code, field)


@pytest.mark.parametrize("header", [GOOD_HEADER + " " * 20_000, "[" + "'no descr', " * 500 + "]"])
def test_what_is_said_of_a_broken_array_is_a_short_line(client: httpx.Client, header: str) -> None:
    message = predict(client, NPY, headed(header)).json()["error"]["message"]
    assert message.isprintable()
    assert len(message) < 1000


def test_a_shape_of_booleans_is_no_failure_of_the_service(client: httpx.Client) -> None:
    response = predict(client, NPY, described(shape=(True, 6)))
    assert response.status_code == 200 or is_refused(client, response, 422, response.json()["error"]["code"], "inputs")


@pytest.mark.parametrize(
    ("model", "array", "field", "message"),
    [
        ("digits", np.full((2, 1, 8, 8), 255), "inputs[0][0][0][0]", "expected values in [0, 1] (grey value), got 255"),
        ("digits", np.full((1, 1, 8, 8), -0.25, "f2"), "inputs[0][0][0][0]", "got -0.25; 64 of 64 values"),
        ("digits", np.full((1, 1, 8, 8), np.nan, "f2"), "inputs[0][0][0][0]", "finite"),
        ("bytes", np.array([[[0, 256], [0, 0]]], ">i4"), "inputs[0][0][1]", "expected whole numbers in [0, 255]"),
        ("bytes", np.array([[[0, 0], [0, -1]]], "i1"), "inputs[0][1][1]", "expected whole numbers in [0, 255]"),
        ("bytes", np.zeros((1, 2, 2)), "inputs", "expected uint8, got an array of float64"),
    ],
)
def test_values_that_the_contract_excludes_are_refused(
    client: httpx.Client, model: str, array: NDArray[Any], field: str, message: str
) -> None:
    response = predict(client, NPY, npy(array), {"model": model})
    assert message in is_refused(client, response, 422, INVALID, field)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 160), st.integers(0, 3), st.binary(max_size=4))
def test_a_damaged_array_is_never_a_failure_of_the_service(
    client: httpx.Client, place: int, removed: int, added: bytes
) -> None:
    body = npy(FEATURES.astype("f4"))
    response = predict(client, NPY, body[:place] + added + body[place + removed :])
    assert response.status_code in (200, 422), response.text


FORM = "multipart/form-data; boundary=B"
FILE = part("inputs", encode(GREY[0]), "a.png", "Content-Type: image/png\r\n")
MODEL = part("model", b"digits")

# What is posted as which content type, and the code, field and a part of the message that come back.
BAD_FORMS: dict[str, tuple[str, bytes, str, str | None, str]] = {
    "no boundary": ("multipart/form-data", form(MODEL, FILE), MALFORMED, None, "boundary"),
    "empty boundary": ("multipart/form-data; boundary=", form(MODEL, FILE), MALFORMED, None, "form"),
    "another boundary": ("multipart/form-data; boundary=A", form(MODEL, FILE), MALFORMED, None, "form"),
    "a long boundary": (f"multipart/form-data; boundary={'B' * 999}", form(FILE), MALFORMED, None, "form"),
    "no form": (FORM, encode(GREY[0]), MALFORMED, None, "form"),
    "JSON": (FORM, b'{"inputs": [[1]]}', MALFORMED, None, "form"),
    "line feeds only": (FORM, form(MODEL, FILE).replace(b"\r\n", b"\n"), MALFORMED, None, "form"),
    "a part without a name": (FORM, form(b"--B\r\nContent-Type: x\r\n\r\n1\r\n", FILE), MALFORMED, None, "form"),
    "cut off in a file": (FORM, (MODEL + FILE)[:-30], MALFORMED, None, "form"),
    "cut off in the second file": (FORM, (MODEL + FILE + FILE)[:-30], MALFORMED, None, "form"),
    "cut off in the headers of the second file": (FORM, MODEL + FILE + FILE[:30], MALFORMED, None, "form"),
    "no end": (FORM, MODEL + FILE, MALFORMED, None, "form"),
    "base64 that is none": (
        FORM, form(MODEL, part("inputs", b"!", "a", "Content-Transfer-Encoding: base64\r\n")), MALFORMED, None, "form",
    ),
    "no file": (FORM, form(MODEL), INVALID, "inputs", "expected a part for each input, named after it"),
    "an unknown field": (FORM, form(MODEL, part("modle", b"x"), FILE), INVALID, "modle", "unknown field"),
    "another file name": (FORM, form(MODEL, part("input", b"x", "a")), INVALID, "inputs.input[0]", "PNG, JPEG or WebP"),
    "inputs without a file name": (FORM, form(MODEL, part("inputs", b"x")), INVALID, "inputs[0]", "PNG, JPEG or WebP"),
    "a model as a file": (FORM, form(part("model", b"digits", "a"), FILE), INVALID, "model", "text, not a file"),
    "a field twice": (FORM, form(MODEL, MODEL, FILE), INVALID, "model", "once"),
    "a long field": (FORM, form(part("id", b"x" * 2000), FILE), INVALID, "id", "at most 1024 bytes"),
    "a long id": (FORM, form(part("id", b"x" * 257), FILE), INVALID, "id", "length <= 256"),
    "a field not UTF-8": (FORM, form(part("id", b"\xff"), FILE), INVALID, "id", "UTF-8"),
    "a name not ASCII": (FORM, form(part(b"\xe9", b"x"), FILE), INVALID, "\u00e9", "unknown field"),
    "a wrong version": (FORM, form(MODEL, part("version", b"one"), FILE), INVALID, "version", "Expected `int"),
    "a wrong output": (FORM, form(MODEL, part("outputs", b"x"), FILE), INVALID, "outputs[0]", "unknown output 'x'"),
    "no outputs": (FORM, form(MODEL, part("outputs", b""), FILE), INVALID, "outputs[0]", "unknown output ''"),
    "an empty file": (FORM, form(MODEL, FILE, part("inputs", b"", "")), INVALID, "inputs[1]", "PNG, JPEG or WebP"),
    "a file that is no picture": (FORM, form(MODEL, FILE, part("inputs", b"x", "a")), INVALID, "inputs[1]", "PNG"),
    "too many files": (FORM, form(MODEL, *[FILE] * 501), INVALID, "inputs", "1 to 500 rows"),
    "a model without images": (FORM, form(part("model", b"tiny"), FILE), INVALID, "inputs", "takes no images"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FORMS)
def test_a_broken_form_is_refused(client: httpx.Client, case: str) -> None:
    kind, body, code, field, message = BAD_FORMS[case]
    assert message in is_refused(client, predict(client, kind, body), 422, code, field)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4))
def test_a_damaged_form_is_never_a_failure_of_the_service(
    client: httpx.Client, place: int, removed: int, added: bytes
) -> None:
    body = form(MODEL, FILE, part("outputs", b"entropy"))
    response = predict(client, FORM, body[:place] + added + body[place + removed :])
    assert response.status_code in (200, 404, 422), response.text


@pytest.mark.parametrize("model", ["tiny", "bytes"])
def test_a_model_that_takes_no_images_says_so(client: httpx.Client, model: str) -> None:
    response = predict(client, PNG, encode(GREY[0]), {"model": model})
    assert "takes no images" in is_refused(client, response, 422, INVALID, "inputs")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a PNG, JPEG or WebP file"),
        (b"\x1b[2J", "expected a PNG, JPEG or WebP file"),
        (encode(GREY[0], "GIF"), "expected a PNG, JPEG or WebP file"),
        (encode(GREY[0])[:60], "cannot be decoded"),
        (encode(np.zeros((8, 9), np.uint8)), "expected 8 × 8 pixels, got 9 × 8"),
        (encode(np.zeros((8, 8, 4), np.uint8)), "transparent"),
        (encode(GREY[0].astype(np.uint16)), "8 bits"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_picture_is_refused(client: httpx.Client, content: bytes, message: str) -> None:
    response = predict(client, PNG, content, {"model": "digits"})
    assert message in is_refused(client, response, 422, INVALID, "inputs[0]")


@pytest.mark.parametrize(
    "kind",
    ["", "image/gif", "image/svg+xml", "image/*", "application/octet-stream", "application/x-npy2",
     "application/x-www-form-urlencoded", "multipart/mixed; boundary=B", "text/html; x=application/json", "\xff"],
)  # fmt: skip
def test_another_content_type_is_refused(client: httpx.Client, kind: str) -> None:
    response = client.post("/predict", content=b"x", headers={b"content-type": kind.encode("latin-1")})
    message = is_refused(client, response, 415, "unsupported_media_type", None)
    for known in (JSON, NPY, NPZ, PNG, "image/jpeg", "image/webp", "multipart/form-data"):
        assert known in message


def arrays_of(response: httpx.Response) -> dict[str, NDArray[Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == NPZ
    with np.load(io.BytesIO(response.content), allow_pickle=False) as found:
        return dict(found)


def same(found: dict[str, NDArray[Any]], told: dict[str, Any], outputs: Sequence[str]) -> None:
    rows = told["predictions"]
    for name in outputs:
        if name == "prediction":
            np.testing.assert_array_equal(found[name], [row["index"] for row in rows])
        elif name == "submodels":
            probabilities = [[member["probabilities"] for member in row["submodels"]] for row in rows]
            np.testing.assert_array_equal(found[name], np.array(probabilities, np.float32))
        else:
            np.testing.assert_array_equal(found[name], np.array([row[name] for row in rows], np.float32))


def test_arrays_are_answered_with_the_numbers_that_json_has(client: httpx.Client) -> None:
    body = npy(GREY[:, None].astype(np.float32) / np.float32(255))
    for query in (
        {},
        {"outputs": ",".join(OUTPUTS)},
        {"outputs": "energy"},
        {"outputs": "prediction", "id": "mine"},
    ):
        asked = {"model": "digits", **query}
        found = arrays_of(predict(client, NPY, body, asked, accept=NPZ))
        assert (found.pop("model").item(), found.pop("version").item()) == ("digits", 1)
        if "id" in query:
            assert found.pop("id").item() == "mine"
        outputs = query["outputs"].split(",") if query else ANSWERS["classification"].menus[0].default
        derived = {"percentiles", "prediction_set", "decision"}  # absent where JSON has null
        plain = set(outputs) - derived
        assert {name.partition(".")[0] for name in found} - derived == plain
        assert ("percentiles" in outputs) == ("percentiles.entropy" in found)
        same(found, answer(client, NPY, body, asked), sorted(plain))


def test_every_content_type_can_be_answered_with_arrays(client: httpx.Client) -> None:
    told = digits_by_json(client, GREY[:1])
    values = json.dumps({"model": "digits", "inputs": (GREY[:1, None] / 255).tolist()}).encode()
    sent = [(*kind, {"model": "digits"}) for kind in KINDS.values()]
    for kind, body, query in (*sent, (JSON, values, {}), (FORM, form(MODEL, FILE), {})):
        found = arrays_of(predict(client, kind, body, query, accept=NPZ))
        same(found, told, ["entropy", "probabilities", "submodels", "prediction"])


@pytest.mark.parametrize("text", ["", "é 中", "x" * 256, "None", "../../x"])
def test_an_id_comes_back_in_arrays_too(client: httpx.Client, text: str) -> None:
    found = arrays_of(predict(client, NPY, npy(FEATURES), {"id": text}, accept=NPZ))
    assert found["id"].item() == text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (NPZ, NPZ),
        ("Application/X-NPZ", NPZ),
        (f"{NPZ}, application/json", NPZ),
        (f"text/html, {NPZ};q=0.9, */*", NPZ),
        (f"application/json, {NPZ}", JSON),
        (f"application/json;q=0.1, {NPZ}", NPZ),
        (f"{NPZ};q=0.1, application/json", JSON),
        (f"{NPZ};q=0", JSON),
        (JSON, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("", JSON),
        (",;", JSON),
    ],
)
def test_what_is_answered_where_a_header_names_several(client: httpx.Client, accept: str, kind: str) -> None:
    response = predict(client, NPY, npy(FEATURES), accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (200, kind)


def test_an_error_is_json_for_those_who_want_arrays_too(client: httpx.Client) -> None:
    is_refused(client, predict(client, NPY, b"", accept=NPZ), 422, MALFORMED, "inputs")


BODIES: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "json": (JSON, json.dumps({"inputs": FEATURES.tolist(), "model": "tiny"}).encode(), {}),
    "array": (NPY, npy(FEATURES), {"model": "tiny"}),
    "picture": (PNG, encode(GREY[0]), {"model": "digits"}),
    "form": (FORM, form(MODEL, FILE), {}),
}


@pytest.mark.parametrize("kind", BODIES)
def test_every_content_type_may_come_compressed(client: httpx.Client, kind: str) -> None:
    content_type, body, query = BODIES[kind]
    expected = answer(client, content_type, body, query)
    for encoding, packed in (
        ("gzip", gzip.compress(body, mtime=0)), ("Deflate", zlib.compress(body)), ("identity", body),
    ):  # fmt: skip
        response = predict(client, content_type, packed, query, content_encoding=encoding)
        assert response.json() == expected


def test_a_compressed_body_up_to_the_limit_is_read(client: httpx.Client) -> None:
    body = BODIES["json"][1].ljust(200_000)
    assert predict(client, JSON, gzip.compress(body, mtime=0), content_encoding="gzip").status_code == 200
    assert len(gzip.compress(body, compresslevel=0, mtime=0)) > 200_000


PACKED = gzip.compress(BODIES["json"][1], mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "code"),
    [
        ("br", PACKED, 415, "unsupported_media_type"),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0), 415, "unsupported_media_type"),
        ("gzip", BODIES["json"][1], 422, MALFORMED),
        ("gzip", b"", 422, MALFORMED),
        ("gzip", bytes(1000), 422, MALFORMED),
        ("gzip", PACKED[:-1], 422, MALFORMED),
        ("gzip", PACKED[: len(PACKED) // 2], 422, MALFORMED),
        ("gzip", PACKED + b"\0", 422, MALFORMED),
        ("deflate", PACKED, 422, MALFORMED),
        ("gzip", gzip.compress(b" " * 200_001, mtime=0), 413, "body_too_large"),
        ("gzip", gzip.compress(bytes(50_000_000), mtime=0), 413, "body_too_large"),
        ("deflate", zlib.compress(bytes(50_000_000)), 413, "body_too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_body_that_is_not_what_its_encoding_says_is_refused(
    client: httpx.Client, encoding: str, body: bytes, status: int, code: str
) -> None:
    response = predict(client, JSON, body, content_encoding=encoding)
    is_refused(client, response, status, code, None)


def test_arrays_of_any_order_are_answered_together(client: httpx.Client) -> None:
    rows = np.asarray(FEATURES, np.float32)[:1].repeat(3, axis=0)
    expected = predict(client, NPY, npy(rows)).json()["predictions"]

    def ask(number: int) -> httpx.Response:
        return predict(client, NPY, npy(np.asfortranarray(rows) if number % 3 == 0 else rows))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(120)))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        for found, wanted in zip(answer.json()["predictions"], expected):
            assert found["entropy"] == pytest.approx(wanted["entropy"], abs=1e-6)


@pytest.mark.parametrize(
    "inputs", [b"[" + b"[]," * 300_000 + b"[]]", b"[[" + b"0," * 300_000 + b"0]]", b"[" + b"[[[1]]]," * 100_000 + b"1]"]
)
def test_far_too_much_is_refused_before_it_becomes_lists(
    client: httpx.Client, inputs: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.predict.json_inputs._read_nested", None)
    body = gzip.compress(b'{"inputs": ' + inputs + b"}", mtime=0)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = client.post("/predict", content=body, headers=headers)
    assert response.status_code in (413, 422)
    assert "more than that" in response.text or response.status_code == 413
