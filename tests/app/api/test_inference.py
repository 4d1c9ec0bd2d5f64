"""The one way of a request, seen from outside: whatever the protocol, the same steps under the same conditions."""

import gzip
import sys
import threading
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import httpx
import numpy as np
import pytest

from app.api import inference
from app.api.predict.protocol import PredictCall
from app.api.request_ids import MAX_ID_LENGTH
from app.api.v2.protocol import InferCall
from app.engine.bare_model import Servable
from app.engine.row_shapes import Feeds
from tests.app.engine.fakes import until

ROWS = np.linspace(0, 1, 300 * 6, dtype=np.float32).reshape(300, 6)
FEW = {"outputs": ["entropy"]}


def predict(
    client: httpx.Client, rows: np.ndarray, headers: dict[str, str] | None = None, **more: object
) -> httpx.Response:
    body = {"model": "tiny", "inputs": rows.tolist(), **more}
    return client.post("/predict", json=body, headers={"accept-encoding": "identity", **(headers or {})})


def infer(
    client: httpx.Client, rows: np.ndarray, headers: dict[str, str] | None = None, **more: object
) -> httpx.Response:
    tensor = {"name": "input", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    if "outputs" in more:
        more["outputs"] = [{"name": name} for name in more["outputs"]]  # type: ignore[attr-defined]
    headers = {"accept-encoding": "identity", **(headers or {})}
    return client.post("/v2/models/tiny/infer", json={"inputs": [tensor], **more}, headers=headers)


BOTH = pytest.mark.parametrize("ask", [predict, infer])


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, threading.Thread]:
    """In which thread the last request of each protocol was encoded."""
    seen: dict[str, threading.Thread] = {}
    for call in (PredictCall, InferCall):
        real = call.encode

        def encode(self, *arguments, real=real, name=call.__name__):  # type: ignore[no-untyped-def]
            seen[name] = threading.current_thread()
            return real(self, *arguments)

        monkeypatch.setattr(call, "encode", encode)
    return seen


@BOTH
@pytest.mark.parametrize(("encoding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_what_is_long_is_compressed_as_the_client_accepts(client: httpx.Client, ask, encoding: str, unpack) -> None:  # type: ignore[no-untyped-def]
    plain = ask(client, ROWS)
    assert "content-encoding" not in plain.headers
    assert "accept-encoding" in plain.headers["vary"].lower()
    headers = {"content-type": "application/json", "accept-encoding": encoding}
    with client.stream("POST", plain.url, content=plain.request.content, headers=headers) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == encoding
    assert "accept-encoding" in response.headers["vary"].lower()
    assert int(response.headers["content-length"]) == len(raw) < len(plain.content) / 2
    assert unpack(raw) == plain.content


@BOTH
def test_what_is_short_is_sent_as_it_is(client: httpx.Client, ask) -> None:  # type: ignore[no-untyped-def]
    response = ask(client, ROWS[:1], {"accept-encoding": "gzip"}, **FEW)
    assert "content-encoding" not in response.headers
    assert len(response.content) < 1000


@BOTH
def test_a_client_that_takes_no_encoding_gets_none(client: httpx.Client, ask) -> None:  # type: ignore[no-untyped-def]
    response = ask(client, ROWS, {"accept-encoding": "br, gzip;q=0"})
    assert response.status_code == 200
    assert "content-encoding" not in response.headers


@BOTH
def test_only_what_was_asked_for_is_judged_heavy(
    client: httpx.Client,
    ask: Callable[..., httpx.Response],
    threads: dict[str, threading.Thread],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "LARGE", 5000)  # 300 entropies are 1,200 bytes, all outputs many more
    name = "PredictCall" if ask is predict else "InferCall"
    assert ask(client, ROWS, **FEW).status_code == 200
    light = threads[name]
    assert ask(client, ROWS).status_code == 200
    heavy = threads[name]
    assert light is not heavy
    assert heavy.name.startswith("aside")


@BOTH
def test_ids_have_one_limit(client: httpx.Client, ask) -> None:  # type: ignore[no-untyped-def]
    longest = "x" * MAX_ID_LENGTH
    response = ask(client, ROWS[:1], {"x-request-id": longest}, id=longest)
    assert (response.json()["id"], response.headers["x-request-id"]) == (longest, longest)
    refused = ask(client, ROWS[:1], {"x-request-id": longest + "x"}, id=longest + "x")
    assert refused.status_code == (422 if ask is predict else 400)
    assert len(refused.headers["x-request-id"]) == 32


@BOTH
def test_the_header_says_how_long_rows_may_wait(client: httpx.Client, ask) -> None:  # type: ignore[no-untyped-def]
    assert ask(client, ROWS[:1], {"x-request-timeout-ms": "1000"}).status_code == 200
    refused = ask(client, ROWS[:1], {"x-request-timeout-ms": "0"})
    assert refused.status_code == (422 if ask is predict else 400)
    assert "X-Request-Timeout-Ms" in refused.text


class Decoding:
    """A protocol that reads inputs in some way."""

    def __init__(self, inputs: Callable[[bytes], Feeds]) -> None:
        self._inputs = inputs

    def decode(self, body: bytes, model: Servable) -> inference.Rows:
        return inference.Rows(self._inputs(body), ())


@pytest.mark.parametrize(
    ("inputs", "contract", "size"),
    [
        (lambda _: {"input": np.zeros((10, 5), np.float32)}, True, 200),
        (lambda body: {"input": np.frombuffer(body, np.uint8, 10)}, True, 100_000),  # a view keeps the whole body
        (lambda body: {"input": np.frombuffer(body, np.uint8, 10).copy()}, True, 10),
        (lambda _: {"input": np.zeros(200_000, np.uint8)}, True, 200_000),
        (lambda _: {"a": np.zeros((10, 5), np.float32), "b": np.zeros((10, 1), np.float32)}, True, 240),
        (lambda body: {"a": np.zeros(7), "b": np.frombuffer(body, np.uint8, 10)}, False, 100_000),
        (lambda _: {"a": np.zeros(7), "b": np.zeros(3, np.int8)}, False, 59),
        (lambda _: {"a": np.array(["x" * 500, "y" * 1000], object)}, False, 16 + 2 * sys.getsizeof("") + 1500),
    ],
)
def test_what_rows_hold_while_they_wait(inputs: Callable[[bytes], Feeds], contract: bool, size: int) -> None:
    model = SimpleNamespace(contract=object() if contract else None)
    rows, found = inference._decode(cast(inference.Call, Decoding(inputs)), bytes(100_000), cast(Servable, model))
    assert found == size
    assert rows.outputs == ()


def test_a_small_body_is_not_looked_at_closely() -> None:
    model = cast(Servable, SimpleNamespace(contract=object()))
    for count, size in ((10, 1000), (2000, 2000)):
        call = cast(inference.Call, Decoding(lambda _, count=count: {"input": np.zeros(count, np.uint8)}))  # type: ignore[misc]
        assert inference._decode(call, bytes(1000), model)[1] == size


@BOTH
def test_nothing_is_held_when_all_is_answered(client: httpx.Client, ask: Callable[..., httpx.Response]) -> None:
    assert ask(client, ROWS).status_code == 200
    assert ask(client, ROWS[:, :5]).status_code in (400, 422)
    until(lambda: "\nmasksembles_memory_held_bytes 0.0" in client.get("/metrics").text)
