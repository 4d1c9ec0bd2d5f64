"""The spans of requests, as OpenTelemetry's SDK hands them to an exporter in this process."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from app.engine.session import Session
from app.telemetry.spans import Recorder, open_recorder
from tests.app.engine.fakes import until
from tests.app.telemetry.test_trace_context import SPAN, TRACE, VALID
from tests.serving import open_models, serving

ROW = {"model": "tiny", "inputs": [[0.5] * 6]}
HEADERS = {"traceparent": VALID.decode(), "tracestate": "a=1,b=2"}
WAY = ["admit", "read", "decode", "obtain", "decode", "queue", "run", "encode", "send"]


class Spans:
    """What was recorded."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.recorder = Recorder(provider)

    def take(self, requests: int = 1) -> list[tuple[ReadableSpan, dict[str, list[ReadableSpan]]]]:
        """The next requests, each with its steps by name in the order of their beginnings."""
        until(lambda: len(self._roots()) >= requests)  # the answer is there before the end of its span
        found = self._exporter.get_finished_spans()
        taken = []
        for root in self._roots():
            mine = [span for span in found if span.parent is not None and span.parent.span_id == root.context.span_id]
            steps: dict[str, list[ReadableSpan]] = {}
            for span in sorted(mine, key=lambda span: span.start_time or 0):
                steps.setdefault(span.name, []).append(span)
            taken.append((root, steps))
        self._exporter.clear()
        return taken

    def _roots(self) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.kind == SpanKind.SERVER]


def failure(span: ReadableSpan) -> object:
    """The code of the error that a span ended with; None if it is not marked."""
    assert span.status.is_ok is ("error.type" not in span.attributes)
    return span.attributes.get("error.type")


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def client(spans: Spans, tiny_repository: Path) -> Iterator[httpx.Client]:
    with serving(tiny_repository, tracing=spans.recorder, max_rows=500) as opened:
        yield opened


@pytest.fixture
def queued(spans: Spans, tiny_repository: Path) -> Iterator[httpx.Client]:
    """A service whose model is not quick, so that its rows always wait in the queue."""
    models = open_models(tiny_repository)
    models.registry.find("tiny", None).inline_max_rows = 0
    with serving(tiny_repository, models=models, tracing=spans.recorder, max_batch=4) as opened:
        yield opened


class Held:
    """The device, held up in its first run until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.runs = 0
        real = Session.run

        def run(session: Session, *arguments: Any) -> Any:
            self.runs += 1
            assert self.free.wait(30)
            return real(session, *arguments)

        monkeypatch.setattr(Session, "run", run)


def test_a_request_is_a_span_in_the_callers_trace_with_its_steps_inside(client: httpx.Client, spans: Spans) -> None:
    before = time.time_ns()
    response = client.post("/predict", json=ROW, headers=HEADERS)
    ((root, steps),) = spans.take()
    after = time.time_ns()
    assert root.name == "POST /predict"
    assert (format_trace_id(root.context.trace_id), root.parent.is_remote) == (TRACE.decode(), True)
    assert format_span_id(root.parent.span_id) == SPAN.decode()
    assert root.context.trace_state.to_header() == "a=1,b=2"
    assert root.attributes == {
        "http.request.method": "POST", "http.route": "/predict", "url.path": "/predict", "url.scheme": "http",
        "network.protocol.version": "1.1", "http.response.status_code": 200,
        "masksembles.model": "tiny", "masksembles.version": 1, "masksembles.rows": 1,
    }  # fmt: skip
    expected = f"00-{TRACE.decode()}-{format_span_id(root.context.span_id)}-01"
    assert response.headers["traceparent"] == expected
    in_order = sorted((span for found in steps.values() for span in found), key=lambda span: span.start_time or 0)
    assert [span.name for span in in_order] == WAY
    assert before <= root.start_time <= root.end_time <= after
    inside = [moment for span in in_order for moment in (span.start_time or 0, span.end_time or 0)]
    edges = [root.start_time or 0, *inside, root.end_time or 0]
    assert edges == sorted(edges)  # one after the other, inside of the request
    (run,) = steps["run"]
    assert run.attributes == {"masksembles.rows": 1, "masksembles.batch_rows": 1}
    assert [failure(span) for span in (root, *in_order)] == [None] * 10


def test_the_other_protocol_has_the_same_steps_and_a_name_without_the_model(client: httpx.Client, spans: Spans) -> None:
    tensor = {"name": "input", "datatype": "FP32", "shape": [2, 6], "data": [0.5] * 12}
    client.post("/v2/models/tiny/infer", json={"inputs": [tensor]}).raise_for_status()
    ((root, steps),) = spans.take()
    assert root.name == "POST /v2/models/{name}/infer"
    assert (root.parent, root.attributes["url.path"]) == (None, "/v2/models/tiny/infer")
    assert set(steps) == set(WAY)
    assert root.attributes["masksembles.rows"] == 2


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "step", "code"),
    [
        ("/predict", {"model": "tiny", "inputs": [[1]]}, {}, 422, "decode", "invalid_input"),
        ("/predict", {"model": "none", "inputs": [[1]]}, {}, 404, "obtain", "unknown_model"),
        ("/predict", ROW, {"content-type": "text/plain"}, 415, "admit", "unsupported_media_type"),
        ("/v2/models/none/infer", {}, {}, 404, "obtain", "unknown_model"),
    ],
)
def test_the_step_of_an_error_is_marked_and_the_request_only_where_the_service_is_at_fault(
    client: httpx.Client, spans: Spans, path: str, body: Any, headers: dict[str, str], status: int, step: str, code: str
) -> None:
    assert client.post(path, json=body, headers=headers).status_code == status
    ((root, steps),) = spans.take()
    assert (failure(root), root.status.status_code) == (None, StatusCode.UNSET)
    assert root.attributes["http.response.status_code"] == status
    assert failure(steps.pop(step)[-1]) == code
    assert {failure(span) for found in steps.values() for span in found} == {None}


def test_requests_of_one_batch_have_a_run_each_with_the_same_times(
    queued: httpx.Client, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    body = {"model": "tiny", "inputs": [[0.5] * 6] * 2}
    waiting = "\nmasksembles_queue_rows 4.0\n"
    with ThreadPoolExecutor(3) as pool:
        try:
            tasks = [pool.submit(queued.post, "/predict", json=ROW)]
            until(lambda: held.runs == 1)
            tasks += [pool.submit(queued.post, "/predict", json=body) for _ in range(2)]
            until(lambda: waiting in queued.get("/metrics").text)
        finally:
            held.free.set()
        assert [task.result().status_code for task in tasks] == [200] * 3
    _, first, second = spans.take(3)
    (one,), (other,) = first[1]["run"], second[1]["run"]
    assert one.attributes == other.attributes == {"masksembles.rows": 2, "masksembles.batch_rows": 4}
    assert one.end_time - one.start_time == pytest.approx(other.end_time - other.start_time, abs=10_000)
    assert one.start_time == pytest.approx(other.start_time, abs=5_000_000)  # two clocks are read for each request


def test_a_request_in_parts_has_a_run_for_each(queued: httpx.Client, spans: Spans) -> None:
    queued.post("/predict", json={"model": "tiny", "inputs": [[0.5] * 6] * 9}).raise_for_status()
    ((root, steps),) = spans.take()
    assert [run.attributes["masksembles.rows"] for run in steps["run"]] == [4, 4, 1]
    assert root.attributes["masksembles.rows"] == 9
    assert len(steps["queue"]) == 1


def test_a_deadline_is_marked_where_it_passed(
    queued: httpx.Client, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    try:
        late = {"X-Request-Timeout-Ms": "200"}
        assert queued.post("/predict", json=ROW, headers=late).status_code == 504
        ((root, steps),) = spans.take()
        assert held.runs == 1
        assert failure(root) == failure(steps["run"][0]) == "deadline_exceeded"
        assert failure(steps["queue"][0]) is None
        assert queued.post("/predict", json=ROW, headers=late).status_code == 504
        ((root, steps),) = spans.take()
        assert failure(root) == failure(steps["queue"][0]) == "deadline_exceeded"
        assert "run" not in steps
    finally:
        held.free.set()


def test_a_client_that_goes_is_marked(queued: httpx.Client, spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    content = httpx.Request("POST", "http://a/predict", json=ROW)
    try:
        with socket.create_connection((queued.base_url.host, queued.base_url.port)) as connection:
            head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            connection.sendall(head % len(content.content) + content.content)
            until(lambda: held.runs == 1)
        ((root, steps),) = spans.take()
        assert failure(root) == failure(steps["run"][0]) == "client_gone"
        assert "http.response.status_code" not in root.attributes
    finally:
        held.free.set()


def test_a_model_that_fails_is_an_error_of_its_run(
    queued: httpx.Client, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> None:
        raise RuntimeError("bad")

    monkeypatch.setattr(Session, "run", run)
    monkeypatch.setattr("app.engine.model.Model.probe", lambda *_: None)
    assert queued.post("/predict", json=ROW).status_code == 500
    ((root, steps),) = spans.take()
    assert failure(root) == failure(steps["run"][0]) == "model_failed"


def test_refusals_are_recorded_too(spans: Spans, tiny_repository: Path) -> None:
    with serving(tiny_repository, tracing=spans.recorder, rate_limit=0.001) as client:
        assert [client.post("/predict", json=ROW).status_code for _ in range(2)] == [200, 429]
    _, (root, steps) = spans.take(2)
    assert (root.attributes["http.response.status_code"], failure(steps["admit"][0])) == (429, "rate_limited")
    assert list(steps) == ["admit"]


def test_only_predictions_are_recorded_and_every_trace_goes_on(client: httpx.Client, spans: Spans) -> None:
    for path in ("/health/live", "/models", "/nowhere"):
        assert TRACE.decode() in client.get(path, headers=HEADERS).headers["traceparent"]
    client.post("/predict", json=ROW)
    assert [root.name for root, _ in spans.take()] == ["POST /predict"]


@pytest.mark.parametrize("headers", [{"traceparent": VALID[:-1].decode() + "0"}, {}])
def test_what_the_sampler_does_not_want_is_answered_all_the_same(
    tiny_repository: Path, headers: dict[str, str]
) -> None:
    quiet = Spans(ParentBased(ALWAYS_OFF))
    with serving(tiny_repository, tracing=quiet.recorder) as client:
        answered = client.post("/predict", json=ROW, headers=headers).raise_for_status().headers["traceparent"]
        assert answered.endswith("-00")
        assert not headers or TRACE.decode() in answered
        client.post("/predict", json=ROW, headers=HEADERS)  # the caller wants this one
    ((root, _),) = quiet.take()
    assert format_trace_id(root.context.trace_id) == TRACE.decode()


def test_a_request_that_is_cancelled_is_marked(spans: Spans) -> None:
    scope = {"headers": [], "method": "POST", "path": "/predict" * 1000, "scheme": "http", "http_version": "1.1"}
    spans.recorder.begin(scope, "/predict").end(0)
    ((root, steps),) = spans.take()
    assert failure(root) == failure(steps["admit"][0]) == "cancelled"
    assert len(str(root.attributes["url.path"])) == 200


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "masksembles"),
        ({"OTEL_SERVICE_NAME": "digits-eu"}, "digits-eu"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,place=b"}, "a"),
    ],
)
def test_the_environment_names_the_service(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str
) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    recorder = open_recorder()
    attributes = recorder._provider.resource.attributes
    assert attributes["service.name"] == name
    assert attributes.get("place") == ("b" if name == "a" else None)
    recorder.close()


def test_a_collector_that_hangs_holds_up_the_end_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.telemetry.spans._SECONDS_TO_SEND", 0.2)
    hanging = threading.Event()
    recorder = Recorder(cast(TracerProvider, SimpleNamespace(shutdown=hanging.wait, get_tracer=lambda *_: None)))
    asyncio.run(asyncio.wait_for(asyncio.to_thread(recorder.close), 5))
    hanging.set()


def test_what_clients_send_as_state_is_not_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    recorder = open_recorder()
    headers = [(b"traceparent", VALID), (b"tracestate", b"a=1,=;")]
    scope = {"headers": headers, "method": "POST", "path": "/predict", "scheme": "http", "http_version": "1.1"}
    trace = recorder.begin(scope, "/predict")
    assert trace.trace_id == TRACE.decode()
    assert not caplog.records
