"""Traces as an operator sees them: what reaches a collector over OTLP, and what a bad collector costs."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.pictures import REQUEST
from tests.serving import ROOT, SHIPPED, as_process

REPOSITORY = ROOT / "models" / "repository"
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"content-type": "application/json", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
BODY = REQUEST.read_bytes()


class Collector(ThreadingHTTPServer):
    """A collector of OpenTelemetry, as far as OTLP over HTTP goes."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Intake)
        self.status = status
        self.paths: list[str] = []
        self.names: set[str] = set()
        self.spans: list[Span] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Intake(BaseHTTPRequestHandler):
    """One request to it."""

    server: Collector

    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        self.server.paths.append(self.path)
        if self.server.status == 200:
            for resource in sent.resource_spans:
                self.server.names |= {
                    attribute.value.string_value
                    for attribute in resource.resource.attributes
                    if attribute.key == "service.name"
                }
                self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    with Collector(status) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def test_spans_reach_a_collector_before_the_service_ends() -> None:
    with collecting() as collector:
        traced = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
            "OTEL_SERVICE_NAME": "coats",
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",  # nothing but the end sends them
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",  # FastAPI would send metrics, and logs with what is in requests
        }
        with as_process(REPOSITORY, **SHIPPED, **traced) as (client, process):
            response = client.post("/predict", content=BODY, headers=HEADERS).raise_for_status()
            client.get("/nowhere")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert collector.paths == ["/v1/traces"]
        assert collector.names == {"coats"}
        (root,) = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
        inside = [span.name for span in collector.spans if span.parent_span_id == root.span_id]
    assert root.name == "POST /predict"
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert response.headers["traceparent"] == f"00-{TRACE}-{root.span_id.hex()}-01"
    assert {"admit", "read", "decode", "queue", "run", "encode", "send"} <= set(inside)


def test_the_sampler_of_the_environment_decides() -> None:
    with collecting() as collector:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "OTEL_TRACES_SAMPLER": "always_off"}
        with as_process(REPOSITORY, **SHIPPED, **traced) as (client, process):
            assert client.post("/predict", content=BODY, headers=HEADERS).headers["traceparent"].endswith("-00")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert collector.paths == []


@contextmanager
def nobody() -> Iterator[str]:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as door:  # connects, and says nothing
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


@contextmanager
def failing() -> Iterator[str]:
    with collecting(503) as collector:
        yield collector.address


@pytest.mark.parametrize("collector", [nobody, silent, failing])
def test_a_bad_collector_costs_no_answer_and_no_time(collector) -> None:  # type: ignore[no-untyped-def]
    with collector() as address:
        traced = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",  # full after a few requests
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
        }
        with as_process(REPOSITORY, **SHIPPED, **traced) as (client, process):
            client.post("/predict", content=BODY, headers=HEADERS).raise_for_status()  # loads the model
            for _ in range(100):
                began = time.monotonic()
                client.post("/predict", content=BODY, headers=HEADERS).raise_for_status()
                assert time.monotonic() - began < 5  # the exporter would wait for 10
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert time.monotonic() - began < 10
            assert process.stderr is not None
            lines = process.stderr.read().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert len(lines) < 60  # it complains, but not for each span


def test_the_log_has_the_trace_of_each_request() -> None:
    with as_process(REPOSITORY, **SHIPPED, MASKSEMBLES_ACCESS_LOG="true") as (client, process):
        answers = [
            client.get("/models", headers={"x-request-id": "1", "traceparent": HEADERS["traceparent"]}),
            client.get("/models", headers={"x-request-id": "2", "traceparent": "00-" + "0" * 32 + "-1-01"}),
            client.get("/models", headers={"x-request-id": "3"}),
        ]
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        records = {record.get("request_id"): record for record in map(json.loads, process.stderr.read().splitlines())}
    for number, response in enumerate(answers, 1):
        returned = re.fullmatch("00-([0-9a-f]{32})-[0-9a-f]{16}-0[01]", response.headers["traceparent"])
        assert returned is not None
        assert records[str(number)]["trace_id"] == returned[1]
    assert records["1"]["trace_id"] == TRACE
    assert len({records[str(number)]["trace_id"] for number in (1, 2, 3)}) == 3


def test_the_head_that_is_refused_is_in_its_trace_too() -> None:
    with as_process(REPOSITORY, **SHIPPED) as (client, _):
        refused = client.get("/models", headers={"traceparent": HEADERS["traceparent"], "x": "y" * 70_000})
        assert refused.status_code == 431
        assert TRACE in refused.headers["traceparent"]
