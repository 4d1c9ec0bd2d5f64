"""What the protocol forbids is refused in its own words, whatever it is, and the next request is answered."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.api.v2.protocol import LENGTH, Head, error_of, packed, post, read, write

INFER = "/v2/models/{}/infer"
ROW = [0.5] * 6
BLOB = packed(np.full((1, 6), 0.5, np.float32))


def given(**changes: object) -> Head:
    """A good input of tiny, changed; None takes a field away."""
    changed = {"name": "input", "datatype": "FP32", "shape": [1, 6], "data": ROW, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def asked(**changes: object) -> bytes:
    """A good request to tiny, its input or the whole of it changed."""
    top = {name: changes.pop(name) for name in ("inputs", "outputs", "parameters", "id") if name in changes}
    return write({"inputs": [given(**changes)], **top})[0]


def output(**parameters: object) -> dict[str, object]:
    return {"outputs": [{"name": "probabilities", "parameters": parameters}]}


@dataclass
class Bad:
    """What is sent, the status that comes back, and a part of the text."""

    body: bytes
    says: str
    status: int = 400
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = "tiny"


def binary(says: str, *blobs: bytes, sizes: tuple[object, ...] = (24,), **changes: object) -> Bad:
    """Inputs whose bytes follow; by default the one of tiny."""
    inputs = [given(**{"data": None, "parameters": {"binary_data_size": size}, **changes}) for size in sizes]
    body, headers = write({"inputs": inputs}, *blobs)
    return Bad(body, says, headers=headers or {LENGTH: str(len(body))})


def length(value: str) -> Bad:
    """A good request with bytes, and another length in its header."""
    body, _ = write({"inputs": [given(data=None, parameters={"binary_data_size": 24})]}, BLOB)
    return Bad(body, LENGTH, headers={LENGTH: value})


def encoded(encoding: str, body: bytes, says: str, status: int = 400) -> Bad:
    return Bad(body, says, status, {"Content-Encoding": encoding})


def value(text: bytes, says: str, model: str = "tiny") -> Bad:
    """A number of the input, spelled like this."""
    if model == "bytes":
        head = given(datatype="UINT8", shape=[1, 2, 2], data=[1, 2, 3, "?"])
    elif model == "digits":
        head = given(shape=[1, 1, 8, 8], data=[*[0.5] * 63, "?"])
    else:
        head = given(data=[*ROW[1:], "?"])
    return Bad(write({"inputs": [head]})[0].replace(b'"?"', text), says, model=model)


def deep(begin: bytes, end: bytes, depth: int = 95_000) -> bytes:
    return begin * depth + b"1" + end * depth


GOOD = asked()
WITH_BYTES, _ = write({"inputs": [given(data=None, parameters={"binary_data_size": 24})]}, BLOB)
START = len(WITH_BYTES) - 24


def _one(value: float) -> bytes:
    """A value as it lies in a binary tensor."""
    return packed(np.array([value], np.float32))


NAN = packed(np.array([[0.5, np.nan, 0.5, 0.5, 0.5, 0.5]], np.float32))
DIGIT = np.full((1, 1, 8, 8), 0.5, np.float32)
TOO_BRIGHT, TOO_BRIGHT_HEADERS = write(
    {"inputs": [given(shape=[1, 1, 8, 8], data=None, parameters={"binary_data_size": 256})]}, packed(DIGIT * 255)
)

BAD = {
    # the body
    "empty body": Bad(b"", "JSON"),
    "blank body": Bad(b" \n\t ", "JSON"),
    "not JSON": Bad(b"inputs=1", "JSON"),
    "cut off": Bad(GOOD[:-2], "JSON"),
    "two values": Bad(GOOD + GOOD, "JSON"),
    "null": Bad(b"null", "object"),
    "a string": Bad(b'"inputs"', "object"),
    "a number": Bad(b"1", "object"),
    "an array": Bad(b"[%s]" % GOOD, "object"),
    "an empty object": Bad(b"{}", "inputs"),
    "a byte order mark": Bad(b"\xef\xbb\xbf" + GOOD, "JSON"),
    "UTF-16": Bad(GOOD.decode().encode("utf-16"), "JSON"),
    "bytes without a header": Bad(WITH_BYTES, "JSON"),
    "not UTF-8 in the name": Bad(GOOD.replace(b'"input"', b'"in\xffput"'), "JSON"),
    "not UTF-8 in the id": Bad(b'{"id": "\xc3\x28", ' + GOOD[1:], "JSON"),
    "not UTF-8 in the data": value(b'"\xff"', "data"),
    "half a surrogate pair in the id": Bad(b'{"id": "\\ud800", ' + GOOD[1:], "JSON"),
    "over the limit": Bad(b" " * 200_001, "200000", 413),
    "deep data": value(deep(b"[", b"]"), "JSON"),
    "deep objects as data": value(deep(b'{"a":', b"}", 30_000), "JSON", "digits"),
    "deep unknown field": Bad(b'{"deep": %s, ' % deep(b"[", b"]") + GOOD[1:], "JSON"),
    "deep inputs": Bad(b'{"inputs": %s}' % deep(b"[", b"]"), "inputs"),
    "deep unclosed": Bad(b"[" * 199_999, "object"),
    "data 120 deep": Bad(asked(data=json.loads("[" * 120 + "]" * 120)), "nested"),
    # compression
    "gzip that is none": encoded("gzip", GOOD, "gzip"),
    "deflate that is none": encoded("deflate", GOOD, "deflate"),
    "deflate without zlib's frame": encoded("deflate", zlib.compress(GOOD)[2:-4], "deflate"),
    "gzip cut off": encoded("gzip", gzip.compress(GOOD, mtime=0)[:-1], "gzip"),
    "a zip bomb": encoded("gzip", gzip.compress(b" " * 50_000_000, mtime=0), "200000", 413),
    "brotli": encoded("br", GOOD, "br", 415),
    "compressed twice": encoded("gzip, deflate", GOOD, "gzip", 415),
    "header beyond the decompressed body": Bad(
        gzip.compress(WITH_BYTES, mtime=0),
        LENGTH,
        headers={"Content-Encoding": "gzip", LENGTH: str(len(WITH_BYTES) + 1)},
    ),
    # the header
    "header no number": length("many"),
    "header empty": length(""),
    "header negative": length("-1"),
    "header with a sign": length("+5"),
    "header not whole": length("5.0"),
    "header hexadecimal": length("0x10"),
    "header two numbers": length("5, 5"),
    "header beyond the body": length(str(len(WITH_BYTES) + 1)),
    "header 2^31": length(str(2**31)),
    "header 2^64": length(str(2**64)),
    "header of 4000 digits": length("9" * 4000),
    "header within the JSON": Bad(WITH_BYTES, "JSON", headers={LENGTH: str(START - 1)}),
    "header within the bytes": Bad(WITH_BYTES, "JSON", headers={LENGTH: str(START + 1)}),
    # bytes
    "bytes left over": binary("belong to no input", BLOB, b"\0"),
    "bytes left over beside JSON": Bad(GOOD + BLOB, "belong to no input", headers={LENGTH: str(len(GOOD))}),
    "too few bytes": binary("24 bytes", BLOB[:-1]),
    "no bytes": binary("24 bytes"),
    "fewer bytes than the shape": binary("24 bytes", BLOB[:-4], sizes=(20,)),
    "more bytes than the shape": binary("24 bytes", BLOB + BLOB, sizes=(48,)),
    "bytes of half a number": binary("24 bytes", BLOB[:-2], sizes=(22,)),
    "no bytes for a row": binary("24 bytes", b"", sizes=(0,)),
    "NaN in bytes": binary("finite", NAN),
    "infinity in bytes": binary("finite", NAN.replace(_one(np.nan), _one(np.inf))),
    "minus infinity in bytes": binary("finite", BLOB[:-4] + _one(-np.inf)),
    "bytes outside the range": Bad(TOO_BRIGHT, "[0, 1]", headers=TOO_BRIGHT_HEADERS, model="digits"),
    "both data and bytes": binary("either data or", BLOB, data=ROW),
    "neither data nor bytes": Bad(asked(data=None), "either data or"),
    "size negative": binary("inputs[0].parameters.binary_data_size", BLOB, sizes=(-24,)),
    "size not whole": binary("inputs[0].parameters.binary_data_size", BLOB, sizes=(24.0,)),
    "size text": binary("inputs[0].parameters.binary_data_size", BLOB, sizes=("24",)),
    "size a bool": binary("inputs[0].parameters.binary_data_size", BLOB, sizes=(True,)),
    "size an array": binary("inputs[0].parameters", BLOB, sizes=([24],)),
    "size huge": binary("bytes", BLOB, sizes=(2**64,)),
    "bytes of two inputs, one unknown": binary("more than once", BLOB, BLOB, sizes=(24, 24)),
    "raw body empty": Bad(b"", "24 bytes", headers={LENGTH: "0"}),
    "raw body of half a row": Bad(BLOB[:12], "24 bytes", headers={LENGTH: "0"}),
    "raw body of a row and a byte": Bad(BLOB + b"\0", "24 bytes", headers={LENGTH: "0"}),
    "raw body that is JSON": Bad(b'{"inputs":[]}', "24 bytes", headers={LENGTH: "0"}),
    "raw body of NaN": Bad(NAN, "finite", headers={LENGTH: "0"}),
    "raw body of too many rows": Bad(b"\0" * (4 * 501), "500 rows", headers={LENGTH: "0"}, model="bytes"),
    # inputs
    "inputs missing": Bad(write({"outputs": []})[0], "inputs"),
    "inputs null": Bad(asked(inputs=None), "inputs"),
    "inputs an object": Bad(asked(inputs={"input": ROW}), "inputs"),
    "no input": Bad(asked(inputs=[]), "'input'"),
    "an input no object": Bad(asked(inputs=[ROW]), "inputs[0]"),
    "an unknown input": Bad(asked(name="INPUT0"), "'INPUT0'"),
    "one input too many": Bad(asked(inputs=[given(), given(name="other")]), "'other'"),
    "an input twice": Bad(asked(inputs=[given(), given()]), "more than once"),
    "name missing": Bad(asked(name=None), "name"),
    "name empty": Bad(asked(name=""), "unknown input"),
    "name a number": Bad(asked(name=1), "name"),
    "datatype missing": Bad(asked(datatype=None), "datatype"),
    "datatype of another size": Bad(asked(datatype="FP64"), "expected FP32"),
    "datatype unknown": Bad(asked(datatype="FP8"), "expected FP32"),
    "datatype in small letters": Bad(asked(datatype="fp32"), "expected FP32"),
    "datatype as the configuration has it": Bad(asked(datatype="TYPE_FP32"), "expected FP32"),
    "datatype without a form in JSON": Bad(asked(datatype="FP16"), "expected FP32"),
    "datatype text": Bad(asked(datatype="BYTES", data=["a"] * 6), "expected FP32"),
    "datatype a number": Bad(asked(datatype=32), "datatype"),
    "datatype endless": Bad(asked(datatype="F" * 10_000), "expected FP32"),
    # shapes
    "shape missing": Bad(asked(shape=None), "shape"),
    "shape a number": Bad(asked(shape=6), "shape"),
    "shape a text": Bad(asked(shape="[1, 6]"), "shape"),
    "shape empty": Bad(asked(shape=[]), "[B, 6]"),
    "rank too low": Bad(asked(shape=[6]), "[B, 6]"),
    "rank too high": Bad(asked(shape=[1, 1, 6]), "[B, 6]"),
    "rank of 50000": Bad(asked(shape=[1] * 50_000), "fewer axes"),
    "rank of 500": Bad(asked(shape=[1] * 500), "[B, 6]"),
    "many parameters": Bad(asked(parameters={f"p{i}": 1 for i in range(1000)}), "fewer parameters"),
    "a reserved parameter": Bad(asked(parameters={"triton_x": 1}), "reserved"),
    "another size": Bad(asked(shape=[1, 7], data=[*ROW, 0.5]), "[B, 6]"),
    "axes swapped": Bad(asked(shape=[6, 1]), "[B, 6]"),
    "a negative axis": Bad(asked(shape=[-1, 6]), "shape"),
    "two negative axes": Bad(asked(shape=[-1, -6]), "shape"),
    "the smallest integer": Bad(asked(shape=[-(2**63), 6]), "shape"),
    "an axis not whole": Bad(asked(shape=[1.0, 6]), "shape"),
    "an axis a text": Bad(asked(shape=["1", 6]), "shape"),
    "an axis a bool": Bad(asked(shape=[True, 6]), "shape"),
    "an axis null": Bad(asked(shape=[None, 6]), "shape"),
    "an axis with an exponent": Bad(GOOD.replace(b"[1, 6]", b"[1e0, 6]"), "shape"),
    "a product beyond 2^64": Bad(asked(shape=[2**60 + 2, 6]), "inputs[0].shape"),
    "a product that wraps to one row": Bad(asked(shape=[2**64 + 1, 6]), "inputs[0].shape"),
    "a product beyond memory": binary("inputs[0].shape", BLOB, shape=[2**62, 6]),
    "an axis beyond 2^64": Bad(asked(shape=[10**30, 6]), "inputs[0].shape"),
    "an axis of 5000 digits": Bad(GOOD.replace(b"[1, 6]", b"[%s, 6]" % (b"9" * 5000)), "shape"),
    "more rows than values": Bad(asked(shape=[2, 6]), "12 values"),
    "fewer rows than values": Bad(asked(data=[*ROW, *ROW]), "6 values"),
    "no rows": Bad(asked(shape=[0, 6], data=[]), "500 rows"),
    "no rows, nested": Bad(asked(shape=[0, 6], data=[[]]), "500 rows"),
    "no rows as bytes": binary("500 rows", b"", sizes=(0,), shape=[0, 6]),
    "no columns": Bad(asked(shape=[1, 0], data=[]), "[B, 6]"),
    "too many rows": Bad(asked(shape=[501, 6], data=[0] * 3006), "500 rows"),
    # values in JSON
    "data null": Bad(GOOD.replace(json.dumps(ROW).encode(), b"null"), "data"),
    "data a number": Bad(asked(data=0.5), "data"),
    "data a text": Bad(asked(data="0.5"), "data"),
    "data an object": Bad(asked(data={"0": 0.5}), "data"),
    "data empty": Bad(asked(data=[]), "6 values"),
    "data nested in another way": Bad(asked(data=[[0.5] * 3] * 2), "nested as [1, 6]"),
    "data nested too deep": Bad(asked(data=[[ROW]]), "nested as [1, 6]"),
    "data ragged": Bad(asked(shape=[2, 6], data=[ROW, ROW[1:]]), "nested as [2, 6]"),
    "data flat and nested": Bad(asked(shape=[2, 6], data=[ROW, *ROW]), "nested as [2, 6]"),
    "data nested and flat": Bad(asked(data=[*ROW[1:], [0.5]]), "expected FP32"),
    "text": value(b'"0.5"', "expected FP32, got"),
    "true": value(b"true", "expected FP32, got true"),
    "null among numbers": value(b"null", "expected FP32, got null"),
    "an object among numbers": value(b"{}", "expected FP32, got {}"),
    "NaN": value(b"NaN", "NaN"),
    "Infinity": value(b"Infinity", "Infinity"),
    "-Infinity": value(b"-Infinity", "Infinity"),
    "nan as text": value(b'"NaN"', "expected FP32, got"),
    "1e999": value(b"1e999", "FP32"),
    "beyond FP32": value(b"3.5e38", "expected FP32, got 3.5e"),
    "an integer beyond FP32": value(b"9" * 300, "FP32"),
    "an integer of 5000 digits": value(b"9" * 5000, "FP32"),
    "a leading zero": value(b"01", "JSON"),
    "a sign": value(b"+1", "JSON"),
    "no digit before the point": value(b".5", "JSON"),
    "no digit after the point": value(b"1.", "JSON"),
    "two numbers without a comma": value(b"1 2", "JSON"),
    "a difference": value(b"1-2", "JSON"),
    "hexadecimal": value(b"0x1", "JSON"),
    "a comma at the end": value(b"1,", "JSON"),
    "outside the range": value(b"1.01", "[0, 1] (grey value), got 1.01", "digits"),
    "below the range": value(b"-1e-6", "[0, 1] (grey value)", "digits"),
    "a fraction for UINT8": value(b"0.5", "expected UINT8, got 0.5", "bytes"),
    "a whole fraction for UINT8": value(b"5.0", "expected UINT8, got 5.0", "bytes"),
    "an exponent for UINT8": value(b"1e2", "expected UINT8, got 100", "bytes"),
    "below UINT8": value(b"-1", "expected UINT8, got -1", "bytes"),
    "beyond UINT8": value(b"256", "expected UINT8, got 256", "bytes"),
    "beyond INT64 for UINT8": value(b"9" * 25, "expected UINT8, got 9", "bytes"),
    "true for UINT8": value(b"true", "expected UINT8, got true", "bytes"),
    "text for UINT8": value(b'"1"', "expected UINT8, got", "bytes"),
    # outputs
    "outputs an object": Bad(asked(outputs={"name": "energy"}), "outputs"),
    "an output a text": Bad(asked(outputs=["energy"]), "outputs[0]"),
    "an output without name": Bad(asked(outputs=[{}]), "name"),
    "an unknown output": Bad(asked(outputs=[{"name": "energy"}, {"name": "OUTPUT0"}]), "outputs[1].name: unknown"),
    "an input as output": Bad(asked(outputs=[{"name": "input"}]), "unknown output"),
    "an output twice": Bad(asked(outputs=[{"name": "energy"}, {"name": "energy"}]), "more than once"),
    "an output twice in two forms": Bad(
        asked(outputs=[{"name": "energy"}, {"name": "energy", "parameters": {"binary_data": True}}]), "more than once"
    ),
    # parameters
    "parameters an array": Bad(asked(parameters=[]), "parameters"),
    "parameters a text": Bad(asked(parameters="binary_data_output"), "parameters"),
    "a parameter an object": Bad(asked(parameters={"headers": {"a": "b"}}), "parameters"),
    "a parameter an array": Bad(asked(parameters={"key": [1]}), "parameters"),
    "binary_data_output a number": Bad(asked(parameters={"binary_data_output": 1}), "parameters.binary_data_output"),
    "binary_data_output a text": Bad(asked(parameters={"binary_data_output": "true"}), "binary_data_output"),
    "timeout a text": Bad(asked(parameters={"timeout": "1000"}), "parameters.timeout"),
    "timeout a fraction": Bad(asked(parameters={"timeout": 1.5}), "parameters.timeout"),
    "timeout negative": Bad(asked(parameters={"timeout": -1}), "parameters.timeout"),
    "timeout true": Bad(asked(parameters={"timeout": True}), "parameters.timeout"),
    "timeout false": Bad(asked(parameters={"timeout": False}), "parameters.timeout"),
    "timeout huge": Bad(asked(parameters={"timeout": 10**30}), "parameters.timeout"),
    "sequence_id": Bad(asked(parameters={"sequence_id": 42}), "parameters.sequence_id"),
    "sequence_id a text": Bad(asked(parameters={"sequence_id": "mine"}), "parameters.sequence_id"),
    "sequence_start": Bad(asked(parameters={"sequence_start": True}), "parameters.sequence_start"),
    "sequence_end": Bad(asked(parameters={"sequence_end": True}), "parameters.sequence_end"),
    "binary_data a number": Bad(asked(**output(binary_data=0)), "binary_data"),
    "binary_data a text": Bad(asked(**output(binary_data="false")), "binary_data"),
    "classification negative": Bad(asked(**output(classification=-1)), "classification"),
    "classification a text": Bad(asked(**output(classification="3")), "classification"),
    "classification an empty text": Bad(asked(**output(classification="")), "classification"),
    "classification a fraction": Bad(asked(**output(classification=1.5)), "classification"),
    "classification true": Bad(asked(**output(classification=True)), "classification"),
    "classification false": Bad(asked(**output(classification=False)), "classification"),
    "classification of what has no classes": Bad(
        asked(outputs=[{"name": "energy", "parameters": {"classification": 1}}]), "energy"
    ),
    "shared memory in": binary(
        "shared memory", parameters={"shared_memory_region": "mine", "shared_memory_byte_size": 24}
    ),
    "shared memory out": Bad(
        asked(**output(shared_memory_region="mine", shared_memory_byte_size=12, binary_data=False)), "shared memory"
    ),
    "input parameters an array": Bad(asked(inputs=[given(parameters=[1])]), "parameters"),
    "id a number": Bad(asked(id=5), "id"),
    "id an object": Bad(asked(id={}), "id"),
    # models and versions
    "an unknown model": Bad(GOOD, "no model 'cats' is served; there are: bytes, digits, tiny", 404, model="cats"),
    "an unknown version": Bad(GOOD, "there are: 1", 404, model="tiny/versions/7"),
    "a refused version": Bad(GOOD, "there are: 1", 404, model="tiny/versions/2"),
    "the highest version": Bad(GOOD, "there are: 1", 404, model="tiny/versions/999999999"),
    "a timeout in the header that is none": Bad(GOOD, "X-Request-Timeout-Ms", headers={"X-Request-Timeout-Ms": "x"}),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_its_answer_and_the_next_request_works(client: httpx.Client, case: str) -> None:
    bad = BAD[case]
    response = client.post(INFER.format(bad.model), content=bad.body, headers=bad.headers)
    assert response.status_code == bad.status, response.text
    assert bad.says in error_of(response)
    assert len(response.content) < 1000
    assert_works(client)


def assert_works(client: httpx.Client) -> None:
    _, found = read(post(client, "tiny", {"inputs": [given()], "outputs": [{"name": "probabilities"}]}))
    assert found["probabilities"].sum() == pytest.approx(1, abs=1e-5)


# In a path, as it is sent, and the status of what it leads to.
NAMES = {
    "..": 400,
    "%2e%2e": 400,
    ".": 400,
    "...": 400,
    "..my_model": 400,
    ".hidden": 400,
    "-tiny": 400,
    "%20..": 400,
    "..%20": 400,
    "%20": 400,
    "%20%20%20": 400,
    "%09": 400,
    "tiny%20": 400,
    "tiny%0a": 400,
    "tiny%00": 400,
    "tiny:1": 400,
    "tiny%5c..": 400,
    "%252e%252e": 400,
    "%252fetc": 400,
    "%ff%fe": 400,
    "%c3%bc": 400,
    "%%": 400,
    "a" * 129: 400,
    "": 404,
    "../etc": 404,
    "a/../b": 404,
    "/etc/passwd": 404,
    "tiny/": 404,
    "tiny/subdir": 404,
    "..%2Fetc": 404,
    "a%2F..%2Fb": 404,
    "%2Fetc%2Fpasswd": 404,
    "tiny%2F": 404,
    "tiny%2fsubdir": 404,
    "model..1": 404,
    "TINY": 404,
    "a" * 128: 404,
    "tiny/versions/0": 400,
    "tiny/versions/-1": 400,
    "tiny/versions/01": 400,
    "tiny/versions/%2B1": 400,
    "tiny/versions/1.0": 400,
    "tiny/versions/1e0": 400,
    "tiny/versions/1_0": 400,
    "tiny/versions/x": 400,
    "tiny/versions/latest": 400,
    "tiny/versions/%201": 400,
    "tiny/versions/%20": 400,
    "tiny/versions/%D9%A1": 400,
    "tiny/versions/" + "9" * 10: 400,
    "tiny/versions/" + "9" * 5000: 400,
    "tiny/versions/": 404,
    "tiny/versions/1%2F1": 404,
    "tiny/versions/7": 404,
    "..%2F/versions/1": 404,
}
ROUTES = [("POST", "/infer"), ("GET", ""), ("GET", "/ready"), ("GET", "/config"), ("GET", "/stats")]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:30])
def test_a_bad_name_or_version_is_refused_wherever_it_stands(client: httpx.Client, name: str) -> None:
    for method, route in ROUTES:
        target = f"/v2/models/{name}{route}".encode()
        response = client.request(method, "/", content=GOOD, extensions={"target": target})
        assert response.status_code == NAMES[name], (route, response.text)
        assert len(error_of(response)) < 6000
    assert_works(client)


@pytest.mark.parametrize("name", [name for name in NAMES if "versions" not in name], ids=lambda name: name[:30])
def test_a_bad_name_is_refused_before_anything_is_loaded(client: httpx.Client, name: str) -> None:
    for action in ("load", "unload"):
        target = f"/v2/repository/models/{name}/{action}".encode()
        response = client.post("/", extensions={"target": target})
        assert response.status_code in (400, 403, 404)
        error_of(response)
    assert_works(client)


def test_a_body_in_many_small_chunks_is_one_body(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for byte in GOOD:
            yield bytes([byte])

    read(client.post(INFER.format("tiny"), content=parts()))


def test_many_small_chunks_over_the_limit_are_refused(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(20_001):
            yield b" " * 10

    response = client.post(INFER.format("tiny"), content=parts())
    assert response.status_code == 413
    assert "200000" in error_of(response)
    assert_works(client)


def test_what_is_said_of_a_huge_value_is_short(client: httpx.Client) -> None:
    for body in (
        asked(data=[*ROW[1:], "x" * 100_000]),
        asked(name="n" * 100_000),
        asked(outputs=[{"name": "o" * 100_000}]),
        asked(datatype="d" * 100_000),
        asked(shape=[10**15] * 5000),
    ):
        response = client.post(INFER.format("tiny"), content=body)
        assert response.status_code == 400
        assert len(error_of(response)) < 1000


@pytest.mark.parametrize("path", ["repository/index", "repository/models/tiny/load", "repository/models/tiny/unload"])
def test_the_error_body_is_the_same_beside_inference(client: httpx.Client, path: str) -> None:
    response = client.post(f"/v2/{path}", content=b" " * 200_001)
    assert response.status_code in (403, 413)
    error_of(response)


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/nowhere", "/v2/health", "/v2/health/live/", "/v2/models", "/v2/models/tiny/generate"]
)
def test_a_path_that_leads_nowhere_keeps_the_error_body(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert path in error_of(response)


def test_values_just_inside_the_limits_are_taken(client: httpx.Client) -> None:
    for body, model in (
        (asked(data=[0, -0.0, 1e-45, -1e-300, 1e2, 100]), "tiny"),
        (asked(shape=[500, 6], data=[0] * 3000), "tiny"),
        (value(b"1", "", "digits").body, "digits"),
        (value(b"0.0", "", "digits").body, "digits"),
        (value(b"255", "", "bytes").body, "bytes"),
    ):
        read(client.post(INFER.format(model), content=body))


KINDS: list[Any] = [None, True, 1, 1.5, "x", [], {}, [[]], [None], {"x": None}]


@pytest.mark.parametrize("name", ["inputs", "outputs", "parameters", "id"])
def test_no_type_in_a_request_is_a_failure_of_the_service(client: httpx.Client, name: str) -> None:
    for kind in KINDS:
        assert_answered(client.post(INFER.format("tiny"), content=asked(**{name: kind})))
    assert_works(client)


@pytest.mark.parametrize("name", ["name", "datatype", "shape", "data", "parameters"])
def test_no_type_in_an_input_is_a_failure_of_the_service(client: httpx.Client, name: str) -> None:
    for kind in KINDS:
        body, _ = write({"inputs": [{**given(), name: kind}]})
        assert_answered(client.post(INFER.format("tiny"), content=body))
    assert_works(client)


def assert_answered(response: httpx.Response) -> None:
    if response.status_code == 200:
        read(response)
    else:
        assert response.status_code == 400, response.text
        error_of(response)
