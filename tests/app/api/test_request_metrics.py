import asyncio
from collections import Counter

import pytest
from starlette.requests import ClientDisconnect

from app.api.request_metrics import RequestMetrics
from app.errors import OutOfMemory, QueueFull
from app.failures import ClientGone
from app.telemetry.metrics import Telemetry
from app.telemetry.tracing import UNTRACED
from tests.app.engine.fakes import FakeSession, fake

MODEL = fake(FakeSession())


def outcomes(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """By model and outcome."""
    (family,) = telemetry.requests.collect()
    return {
        (sample.labels["model"], sample.labels["outcome"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (QueueFull("full", retry_after=1), "queue_full"),
        (OutOfMemory("no"), "out_of_memory"),
        (ClientGone(), "client_gone"),
        (ClientDisconnect(), "client_gone"),
        (asyncio.CancelledError(), "cancelled"),
        (ZeroDivisionError(), "internal_error"),
    ],
)
@pytest.mark.parametrize("found", [False, True])
def test_an_error_is_counted_for_its_model_where_one_was_found(error: BaseException, outcome: str, found: bool) -> None:
    telemetry = Telemetry()

    def work() -> None:
        with RequestMetrics(telemetry, UNTRACED) as metrics:
            if found:
                metrics.found(MODEL)
            metrics.decided = Counter({("", "accept"): 2})
            raise error

    with pytest.raises(type(error)):
        work()
    assert outcomes(telemetry) == {("fake" if found else "", outcome): 1}
    assert b'action="accept"' not in telemetry.render()
    assert telemetry.series("fake", 1, None).statistics.fail.count == int(found)


def test_an_answer_is_counted_with_its_rows_decisions_and_times() -> None:
    telemetry = Telemetry()
    with RequestMetrics(telemetry, UNTRACED) as metrics:
        metrics.found(MODEL)
        metrics.read += 1
        metrics.decided = Counter({("", "accept"): 2, ("", "reject"): 1})
    assert outcomes(telemetry) == {("fake", "ok"): 1}
    text = telemetry.render().decode()
    assert 'masksembles_decisions_total{action="accept",head="",model="fake",version="1"} 2.0' in text
    assert 'masksembles_decisions_total{action="defer",head="",model="fake",version="1"} 0.0' in text
    statistics = telemetry.series("fake", 1, None).statistics
    assert (statistics.success.count, statistics.fail.count) == (1, 0)
    assert statistics.compute_input.seconds == pytest.approx(1)
