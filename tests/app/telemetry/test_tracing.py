"""Whether spans are recorded, and what is imported for it."""

import os
import subprocess
import sys

import pytest

from app.failures import StartError
from app.telemetry.tracing import UNTRACED, Tracing, open_tracing
from tests.app.telemetry.test_trace_context import SPAN, TRACE, VALID
from tests.serving import ROOT

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {ENDPOINT: ""},
        {"OTEL_SERVICE_NAME": "mine"},
        {ENDPOINT: NOBODY, "OTEL_SDK_DISABLED": "True"},
        {ENDPOINT: NOBODY, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_recorded_unless_it_is_wanted(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert type(open_tracing()) is Tracing


def test_a_variable_that_the_sdk_refuses_as_it_is_imported_ends_the_start() -> None:
    environment = {**os.environ, ENDPOINT: NOBODY, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"}
    command = [sys.executable, "-m", "app", "--check"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith("error: OpenTelemetry: OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: expected http/protobuf, got grpc"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "TRACES_PROTOCOL",
        ),
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER: expected otlp or none, got console"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "OpenTelemetry: .*queue"),
    ],
)
def test_what_cannot_be_done_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in {ENDPOINT: NOBODY, **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=message):
        open_tracing()


WITHOUT = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None  # any import of them fails
from app.telemetry.tracing import open_tracing
from app.failures import StartError
try:
    open_tracing()
except StartError as error:
    print(error)
"""


def test_without_the_extra_the_start_says_what_to_install() -> None:
    environment = {**os.environ, ENDPOINT: NOBODY}
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(f"{ENDPOINT} is set, but there is no opentelemetry")
    assert "pip install '.[otel]'" in found.stdout


def test_nothing_of_it_is_imported_where_nothing_is_recorded() -> None:
    code = (  # FastAPI itself imports OpenTelemetry's API, which does nothing without the SDK
        "import sys, app.service; from app.telemetry.tracing import open_tracing; open_tracing()\n"
        "found = [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]\n"
        "print(found)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_trace_goes_on_or_begins() -> None:
    given = Tracing().begin({"headers": [(b"traceparent", VALID)]}, "/predict")
    assert given.trace_id == TRACE.decode()
    assert SPAN not in given.header
    fresh = [Tracing().begin({"headers": [(b"traceparent", b"bad")]}, "/predict").trace_id for _ in range(2)]
    assert len({TRACE.decode(), *fresh}) == 3


def test_by_itself_a_trace_takes_everything_and_does_nothing() -> None:
    before = UNTRACED.header
    UNTRACED.step("read")
    UNTRACED.found("digits", 1)
    UNTRACED.queued(3)
    UNTRACED.taken(0.0)
    UNTRACED.ran(0.0, 1.0, 3, 4, None)
    UNTRACED.failed("queue_full")
    UNTRACED.end(503)
    Tracing().close()
    assert UNTRACED.header == before
