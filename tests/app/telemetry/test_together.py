"""The metrics of several workers, added up."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.telemetry.metrics import Telemetry
from app.telemetry.statistics import Duration, Statistics
from app.telemetry.together import GAUGES, Family, Together, add_up
from app.workers.board import Board
from app.workers.place import Place
from tests import artefacts
from tests.serving import ROOT


class Worker:
    """One of two, with a metric of each kind."""

    def __init__(self, folder: Path, index: int) -> None:
        self.registry = CollectorRegistry()
        self.counter = Counter("masksembles_requests", "says", ("outcome",), registry=self.registry)
        self.histogram = Histogram("masksembles_seconds", "says", registry=self.registry, buckets=(1.0, 2.0))
        self.rows = Gauge("masksembles_queue_rows", "says", registry=self.registry)
        self.ready = Gauge("masksembles_ready", "says", registry=self.registry)
        self.board = Board(folder / "board", 2)
        self.board.note(index, True)
        self.statistics = {"m:1": Statistics()}
        self.together = Together(self.registry, lambda: self.statistics, Place(index, 2, folder), self.board)

    def write(self) -> None:
        generate_latest(self.together)
        self.together.statistics()

    def shows(self, sample: str) -> float | None:
        found = re.search(rf"^{re.escape(sample)} (\S+)$", generate_latest(self.together).decode(), re.MULTILINE)
        return None if found is None else float(found[1])


def test_counters_histograms_and_gauges(tmp_path: Path) -> None:
    one, other = (Worker(tmp_path, index) for index in range(2))
    for worker, count in ((one, 3), (other, 4)):
        worker.counter.labels("ok").inc(count)
        worker.histogram.observe(count / 2)
        worker.rows.set(count)
    one.counter.labels("queue_full").inc()
    one.ready.set(1)
    other.write()
    assert one.shows('masksembles_requests_total{outcome="ok"}') == 7
    assert one.shows('masksembles_requests_total{outcome="queue_full"}') == 1
    assert one.shows('masksembles_seconds_bucket{le="1.0"}') == 0
    assert one.shows('masksembles_seconds_bucket{le="2.0"}') == 2
    assert one.shows("masksembles_seconds_count") == 2
    assert one.shows("masksembles_seconds_sum") == 3.5
    assert one.shows("masksembles_queue_rows") == 7
    assert one.shows("masksembles_ready") == 0
    created = one.shows('masksembles_requests_created{outcome="ok"}')
    assert created is not None
    assert created < 1e10  # the earlier one, not the sum


def test_whoever_is_asked_no_sum_falls(tmp_path: Path) -> None:
    one, other = (Worker(tmp_path, index) for index in range(2))
    shown: list[float | None] = []
    for _ in range(5):
        for worker in (one, other):
            one.counter.labels("ok").inc()
            other.counter.labels("ok").inc(2)
            shown.append(worker.shows('masksembles_requests_total{outcome="ok"}'))
    assert shown == sorted(shown, key=float)  # type: ignore[arg-type]
    one.write()
    assert other.shows('masksembles_requests_total{outcome="ok"}') == 30


def test_one_that_is_gone_counts_on_in_its_successor_and_its_gauges_end(tmp_path: Path) -> None:
    one, other = (Worker(tmp_path, index) for index in range(2))
    one.counter.labels("ok").inc(5)
    one.rows.set(5)
    one.write()
    one.board.remove(0)
    assert other.shows('masksembles_requests_total{outcome="ok"}') == 5
    assert other.shows("masksembles_queue_rows") == 0
    for expected in (6, 7):  # its second successor, too
        successor = Worker(tmp_path, 0)
        successor.counter.labels("ok").inc()
        successor.write()
        assert other.shows('masksembles_requests_total{outcome="ok"}') == expected
        assert successor.shows("masksembles_seconds_count") == 0


def test_statistics_add_up_and_go_on(tmp_path: Path) -> None:
    one, other = (Worker(tmp_path, index) for index in range(2))
    one.statistics["m:1"].computed(4, 0.5)
    other.statistics["m:1"].computed(4, 0.25)
    other.statistics["m:2"] = Statistics()
    other.statistics["m:2"].succeeded(1.0, 0.1, 0.1)
    other.write()
    found = one.together.statistics()
    assert found["m:1"].rows == 8
    assert found["m:1"].batches == {4: Duration(2, 0.75)}
    assert found["m:2"].success == Duration(1, 1.0)
    assert one.statistics["m:1"].rows == 4  # nothing is added to its own
    successor = Worker(tmp_path, 1)
    successor.statistics["m:1"].computed(1, 0.1)
    successor.write()
    assert one.together.statistics()["m:1"].rows == 9


def test_evidence_is_the_mean_and_its_sum_raises_the_alarm() -> None:
    def families(entropy: float, information: float) -> list[Family]:
        labels = {"model": "m", "version": "1"}
        scores = {"entropy": entropy, "mutual_information": information}
        return [
            Family(
                "masksembles_drift_evidence",
                "",
                "gauge",
                [
                    ("masksembles_drift_evidence", {**labels, "head": "", "score": name}, of)
                    for name, of in scores.items()
                ],
            ),
            Family("masksembles_drift_alarm", "", "gauge", [("masksembles_drift_alarm", labels, 0.0)]),
        ]

    for second, alarm in ((100.0, 1.0), (98.0, 0.0)):
        evidence, raised = add_up([(families(250.0, 49.0), True), (families(second, 1.0), True)])
        assert [value for *_, value in evidence.samples] == [(250 + second) / 2, 25]
        assert raised.samples == [("masksembles_drift_alarm", {"model": "m", "version": "1"}, alarm)]


def test_the_rows_of_the_calibration_are_the_same_for_all() -> None:
    name = "masksembles_entropy_calibration_nats"
    family = Family(name, "", "histogram", [(f"{name}_bucket", {"le": "+Inf"}, 500.0)])
    (found,) = add_up([([family], True), ([family], True)])
    assert found.samples[0][2] == 500


def test_every_gauge_says_what_it_is_of_all() -> None:
    shown = re.findall(r"^# TYPE (\S+) gauge$", Telemetry().render().decode(), re.MULTILINE)
    assert {name for name in shown if not name.endswith("_created")} == set(GAUGES)


def test_a_telemetry_that_joins_shows_all(tmp_path: Path) -> None:
    _, contract = artefacts.read(ROOT / "models" / "repository", "digits", 3)
    board = Board(tmp_path / "board", 2)
    both = [Telemetry(), Telemetry()]
    alone = ""
    for index, telemetry in enumerate(both):
        board.note(index, True)
        telemetry.rejected("queue_full")
        telemetry.series("digits", 3, contract).answered("ok", 0.1)
        alone = telemetry.render().decode()
        telemetry.join(Place(index, 2, tmp_path), board)
    for telemetry in both:
        shown = telemetry.render().decode()
        assert 'masksembles_requests_total{model="",outcome="queue_full",version=""} 2.0' in shown
        assert 'masksembles_requests_total{model="digits",outcome="ok",version="3"} 2.0' in shown
        assert 'masksembles_drift_alarm{model="digits",version="3"} 0.0' in shown
        assert set(re.findall("^# TYPE (.*)$", shown, re.M)) == set(re.findall("^# TYPE (.*)$", alone, re.M))


@pytest.mark.parametrize("count", [0, 1])
def test_of_one_it_is_as_it_is(count: int) -> None:
    family = Family("masksembles_requests", "says", "counter", [("masksembles_requests_total", {}, 2.0)])
    assert add_up([([family], True)] * count) == [family] * count
