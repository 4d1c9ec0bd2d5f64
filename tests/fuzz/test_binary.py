"""Broken and whole requests with binary tensors, against the real service over open connections."""

import http.client
import json
import math
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.report import note
from tests.fuzz.size import EXAMPLES
from tests.serving import PATIENCE, ROOT, SHIPPED, as_process

PATH = "/v2/models/digits/infer"
SIZES = {"FP32": 4, "INT64": 8}
WIDTH = 64  # values of a row


@pytest.fixture(scope="module")
def connection() -> Iterator[http.client.HTTPConnection]:
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        opened = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=PATIENCE)
        yield opened
        opened.close()


def post(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
    connection.request("POST", PATH, body, headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def strict(text: bytes) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def check_answer(headers: Any, body: bytes) -> None:
    """Head and bytes fit each other, and the numbers are what probabilities are."""
    length = headers["Inference-Header-Content-Length"]
    answer = strict(body if length is None else body[: int(length)])
    at = len(body) if length is None else int(length)
    assert answer["model_name"] == "digits"
    for output in answer["outputs"]:
        count = math.prod(output["shape"])
        if "data" in output:
            assert len(output["data"]) == count
            continue
        size = output["parameters"]["binary_data_size"]
        if output["datatype"] in SIZES:
            assert size == count * SIZES[output["datatype"]]
        if output["name"] == "probabilities" and output["datatype"] == "FP32":
            rows = np.frombuffer(body[at : at + size], "<f4").reshape(output["shape"])
            np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
        at += size
    assert at == len(body)


SHAPES = st.lists(st.one_of(st.integers(-2, 9), st.sampled_from([64, 2**31, 2**63, 2**70])), max_size=5)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["binary_data_size", "binary_data", "binary_data_output", "classification", "timeout", "sequence_id", "x"]
    ),
    st.one_of(st.none(), st.booleans(), st.integers(-5, 600), st.floats(), st.text(max_size=3), st.lists(st.none())),
    max_size=3,
)
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "double"]), st.floats(0, 1), st.binary(min_size=1, max_size=4)),
    max_size=3,
)


def mutate(body: bytes, mutations: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, data in mutations:
        at = int(where * len(body))
        if kind == "flip":
            body = body[:at] + data + body[at + len(data) :]
        elif kind == "cut":
            body = body[:at] + body[at + len(data) :]
        elif kind == "insert":
            body = body[:at] + data + body[at:]
        else:
            body = body + body[at:]
    return body


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, dict[str, str], bool]:
    """A body, its headers, and whether it is whole."""
    rows = draw(st.integers(1, 3))
    data = np.linspace(0, 1, rows * WIDTH, dtype="<f4").tobytes()
    tensor: dict[str, Any] = {"name": "input", "datatype": "FP32", "shape": [rows, 1, 8, 8]}
    tensor["parameters"] = {"binary_data_size": len(data)}
    head: dict[str, Any] = {"inputs": [tensor]}
    if draw(st.booleans()):
        head["outputs"] = [
            {"name": name, "parameters": {"binary_data": draw(st.booleans())}}
            for name in draw(st.lists(st.sampled_from(["probabilities", "entropy", "prediction"]), unique=True))
        ]
    whole = draw(st.booleans())
    if not whole:
        for _ in range(draw(st.integers(0, 2))):
            change = draw(st.sampled_from(["shape", "datatype", "name", "parameters", "data", "outputs", "head"]))
            if change == "shape":
                tensor["shape"] = draw(SHAPES)
            elif change in ("datatype", "name"):
                tensor[change] = draw(st.sampled_from(["BOOL", "FP64", "BYTES", "UINT8", "FP16", "", "input", None, 1]))
            elif change == "parameters":
                tensor["parameters"] = draw(PARAMETERS)
            elif change == "data":
                tensor["data"] = draw(st.lists(st.floats(0, 1), max_size=WIDTH))
            elif change == "outputs":
                head["outputs"] = draw(
                    st.lists(st.fixed_dictionaries({"name": st.text(max_size=8), "parameters": PARAMETERS}), max_size=3)
                )
            else:
                head["parameters"] = draw(PARAMETERS)
    text = json.dumps(head).encode()
    body, length = text + data, str(len(text))
    if not whole:
        body = mutate(body, draw(MUTATIONS))
        length = draw(
            st.one_of(
                st.just(length),
                st.integers(-2, len(body) + 2).map(str),
                st.sampled_from(["", "x", "0", "9" * 30, "1e3"]),
            )
        )
    headers = {"Inference-Header-Content-Length": length}
    encoding = draw(st.sampled_from(["", "", "", "deflate", "gzip"]))
    if encoding:
        headers["Content-Encoding"] = encoding
        stream = zlib.compressobj(1, wbits=15 if encoding == "deflate" else 31)
        body = stream.compress(body) + stream.flush()
        if not whole and draw(st.booleans()):
            body = mutate(body, draw(MUTATIONS))
    return body, headers, whole


def test_any_bytes_get_an_answer_and_whole_requests_the_right_one(connection: http.client.HTTPConnection) -> None:
    statuses: Counter[str] = Counter()
    began = time.monotonic()

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=False
    )
    @given(requests())
    def hold(request: tuple[bytes, dict[str, str], bool]) -> None:
        body, headers, whole = request
        status, received, answer = post(connection, body, headers)
        statuses[str(status)] += 1
        if whole:
            assert status == 200, answer
        if status == 200:
            check_answer(received, answer)
        else:
            assert status in (400, 413, 415), (status, answer)
            error = strict(answer)
            assert error.keys() == {"error"}
            assert error["error"]

    hold()
    note("binary", cases=statuses.total(), statuses=statuses, seconds=round(time.monotonic() - began))
