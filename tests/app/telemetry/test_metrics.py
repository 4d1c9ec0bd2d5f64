from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.metrics import Telemetry
from app.telemetry.versions import States
from tests.app.contract.calibrated import EVEN, calibrated
from tests.app.engine.fakes import CONTRACT


def samples(telemetry: Telemetry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(telemetry.render().decode())
        for sample in family.samples
    }


def value(telemetry: Telemetry, name: str, **labels: str) -> float:
    return samples(telemetry)[name, frozenset(labels.items())]


def test_requests_batches_and_times_are_counted() -> None:
    telemetry = Telemetry()
    series = telemetry.series("one", 1, CONTRACT)
    series.answered("ok", 0.02)
    series.answered("ok", 0.03)
    series.answered("queue_full", 0.001)
    series.waited(0.004)
    series.computed(5, 0.01, {})
    series.decided({("", "accept"): 4, ("", "defer"): 1})
    telemetry.rejected("unknown_model")
    telemetry.reloaded("one", "rejected")
    telemetry.halved()
    labels = {"model": "one", "version": "1"}
    assert value(telemetry, "masksembles_requests_total", **labels, outcome="ok") == 2
    assert value(telemetry, "masksembles_requests_total", **labels, outcome="queue_full") == 1
    assert value(telemetry, "masksembles_requests_total", model="", version="", outcome="unknown_model") == 1
    assert value(telemetry, "masksembles_request_seconds_sum", **labels) == pytest.approx(0.051)
    assert value(telemetry, "masksembles_queue_seconds_count", **labels) == 1
    assert value(telemetry, "masksembles_compute_seconds_sum", **labels) == pytest.approx(0.01)
    assert value(telemetry, "masksembles_batch_rows_bucket", **labels, le="8.0") == 1
    assert value(telemetry, "masksembles_batch_rows_bucket", **labels, le="4.0") == 0
    for action, rows in (("accept", 4), ("defer", 1), ("reject", 0)):
        assert value(telemetry, "masksembles_decisions_total", **labels, head="", action=action) == rows
    assert value(telemetry, "masksembles_reloads_total", model="one", result="rejected") == 1
    assert value(telemetry, "masksembles_out_of_memory_total") == 1


def test_each_head_has_its_own_decisions_from_zero_on() -> None:
    telemetry = Telemetry()
    heads = tuple(CONTRACT.head.model_copy(update={"name": name}) for name in ("steering", "road"))
    series = telemetry.series("one", 1, CONTRACT.model_copy(update={"heads": heads}))
    series.decided({("road", "defer"): 2})
    for head, action, rows in (("road", "defer", 2), ("road", "accept", 0), ("steering", "defer", 0)):
        found = value(telemetry, "masksembles_decisions_total", model="one", version="1", head=head, action=action)
        assert found == rows
    for version in range(2, 9):
        telemetry.series("one", version, CONTRACT)
    assert "road" not in {dict(labels).get("head") for _, labels in samples(telemetry)}


def test_series_are_bounded_in_number() -> None:
    telemetry = Telemetry()
    sizes = []
    for version in range(1, 30):
        series = telemetry.series("one", version, calibrated(entropy=EVEN))
        series.answered("ok", 0.02)
        series.computed(5, 0.01, {"entropy": np.ones(5)})
        series.decided({("", "defer"): 2})
        sizes.append(len(samples(telemetry)))
    assert sizes[3] < sizes[4] + 1 == sizes[-1] + 1
    versions = {dict(labels).get("version") for _, labels in samples(telemetry)}
    assert versions - {None} == {"26", "27", "28", "29"}


def test_loaded_versions_keep_their_series() -> None:
    telemetry = Telemetry(loaded=6)
    for _ in range(3):
        for version in range(1, 7):
            telemetry.series("one", version, CONTRACT).answered("ok", 0.02)
    for version in range(1, 7):
        assert value(telemetry, "masksembles_requests_total", model="one", version=str(version), outcome="ok") == 3


def test_what_is_told_to_an_ended_series_goes_nowhere() -> None:
    telemetry = Telemetry()
    first = telemetry.series("one", 1, CONTRACT)
    for version in range(2, 9):
        telemetry.series("one", version, CONTRACT)
    first.answered("client_gone", 0.1)
    first.decided({("", "accept"): 1})
    assert "1" not in {dict(labels).get("version") for _, labels in samples(telemetry)}


def test_an_old_version_that_is_still_asked_comes_back() -> None:
    telemetry = Telemetry()
    for version in (1, 2, 3, 4, 5, 1):
        telemetry.series("one", version, CONTRACT).answered("ok", 0.02)
    assert value(telemetry, "masksembles_requests_total", model="one", version="1", outcome="ok") == 1


def test_a_scrape_sees_the_queue_the_memory_and_readiness_of_that_moment() -> None:
    telemetry = Telemetry()
    now: dict[str, Any] = {"rows": 3, "bytes": 1000, "ready": True, "versions": {"one": States(3, ("available",))}}
    telemetry.watch(
        queue_rows=lambda: now["rows"],
        queue_limit=64,
        memory_held=lambda: now["bytes"],
        memory_budget=2000,
        ready=lambda: now["ready"],
        versions=lambda: now["versions"],
        awaited=dict,
    )
    telemetry.memory_refused()
    assert value(telemetry, "masksembles_answering_version", model="one") == 3
    now.update(rows=4, bytes=500, ready=False, versions={"one": States(4, ("standby", "available"))})
    assert value(telemetry, "masksembles_answering_version", model="one") == 4
    found = {name: value(telemetry, f"masksembles_{name}") for name in ("queue_rows", "memory_held_bytes", "ready")}
    assert found == {"queue_rows": 4, "memory_held_bytes": 500, "ready": 0}
    assert value(telemetry, "masksembles_queue_limit_rows") == 64
    assert value(telemetry, "masksembles_memory_budget_bytes") == 2000
    assert value(telemetry, "masksembles_memory_refusals_total") == 1
