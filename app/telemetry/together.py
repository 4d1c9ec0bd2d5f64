"""One answer for the metrics of several processes: each writes its own down, and whoever is asked adds them up.

prometheus-client can do so, too, for its own counters and histograms: it would leave out the other half of these
metrics, which collectors and functions compute when they are asked for, and keep the series of every version for ever.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from app.telemetry.drift_evidence import ALARM_AT
from app.telemetry.statistics import Statistics, total
from app.workers.board import Board
from app.workers.notes import Notes
from app.workers.place import Place

_log = logging.getLogger(__name__)
_SECONDS = 1.0

_EVIDENCE, _ALARM = "masksembles_drift_evidence", "masksembles_drift_alarm"

Rule = Callable[[Iterable[float]], float]

GAUGES: Mapping[str, Rule] = {
    "process_virtual_memory_bytes": sum,
    "process_resident_memory_bytes": sum,
    "process_start_time_seconds": min,
    "process_open_fds": max,  # of the worker that is nearest to its limit
    "process_max_fds": min,
    _EVIDENCE: fmean,  # for which the probability of a false alarm holds, however many there are: docs/drift.md
    _ALARM: max,  # follows from the evidence, below
    "masksembles_answering_version": min,  # the new one, once all answer with it
    "masksembles_versions": max,
    "masksembles_queue_rows": sum,
    "masksembles_queue_limit_rows": sum,
    "masksembles_memory_held_bytes": sum,
    "masksembles_memory_budget_bytes": sum,
    "masksembles_ready": min,
    "masksembles_cpu_fallback": max,
    "masksembles_device_info": max,
    "masksembles_devices": min,
    "masksembles_device_stuck": max,
    "masksembles_feedback_database_failing": max,
    "masksembles_feedback_promise_allowed": max,
    "masksembles_feedback_promise_evidence": fmean,  # as that of drift
}
"""What a gauge is of all workers. Whatever else there is, counters and histograms, adds up."""
_SAME = ("masksembles_entropy_calibration_nats", "masksembles_mutual_information_calibration_nats")

Labels = tuple[tuple[str, str], ...]
Samples = list[tuple[str, dict[str, str], float]]


class Family(msgspec.Struct, array_like=True):
    """The samples of a metric, each with its name and labels."""

    name: str
    says: str
    kind: str
    samples: Samples


class Together(Collector):
    """The metrics of all workers. Each writes once a second, and before it answers: so no sum ever falls, whoever is
    asked next, and whoever dies.

    A worker begins with what its predecessor in the same place had counted.

    Args:
        own: the metrics of this worker.
        statistics: its statistics by model and version.
        board: says which workers are there.
    """

    def __init__(
        self, own: CollectorRegistry, statistics: Callable[[], dict[str, Statistics]], place: Place, board: Board
    ) -> None:
        self._own = own
        self._own_statistics = statistics
        self._board = board
        self._metrics = Notes("metrics", list[Family], place)
        self._counts = Notes("statistics", dict[str, Statistics], place)
        self._lock = threading.Lock()
        self._inherited = self._metrics.all().get(place.index, [])
        self._inherited_statistics = self._counts.all().get(place.index, {})

    def start(self) -> None:
        """Writes from now on."""
        self._write()
        self._write_statistics()
        threading.Thread(target=self._write_on, name="metrics", daemon=True).start()

    def statistics(self) -> dict[str, Statistics]:
        """The statistics of all workers."""
        self._write_statistics()
        return total(self._counts.all().values())

    def collect(self) -> Iterator[Metric]:
        """The metric families for Prometheus."""
        self._write()
        for family in add_up([(note, self._board.is_there(index)) for index, note in self._metrics.all().items()]):
            metric = Metric(family.name, family.says, family.kind)
            metric.samples = [Sample(*sample) for sample in family.samples]
            yield metric

    def _write(self) -> None:
        with self._lock:  # or an older state could replace a newer one
            families = [_family(metric) for metric in self._own.collect()]
            if self._inherited:
                families = add_up([(families, True), (self._inherited, False)])
            self._metrics.write(families)

    def _write_statistics(self) -> None:
        with self._lock:
            self._counts.write(total([self._own_statistics(), self._inherited_statistics]))

    def _write_on(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SECONDS):
            try:
                self._write()
                self._write_statistics()
            except Exception:
                _log.exception("the metrics cannot be written for other workers")


def add_up(workers: Sequence[tuple[list[Family], bool]]) -> list[Family]:
    """The families of all workers.

    Args:
        workers: of each, its families, and whether it is there; if not, its gauges say nothing any more.
    """
    families: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, Labels], list[float]]] = {}
    for of_one, is_there in workers:
        for family in of_one:
            families.setdefault(family.name, family)
            found = values.setdefault(family.name, {})
            if is_there or family.kind != "gauge":
                for name, labels, value in family.samples:
                    found.setdefault((name, tuple(labels.items())), []).append(value)
    evidence: dict[Labels, float] = {}
    for (_, of), of_score in values.get(_EVIDENCE, {}).items():
        version = tuple(pair for pair in of if pair[0] in ("model", "version"))
        evidence[version] = evidence.get(version, 0.0) + fmean(of_score)
    if _ALARM in values:
        values[_ALARM] = {(_ALARM, version): [float(total >= ALARM_AT)] for version, total in evidence.items()}
    return [
        Family(
            name,
            family.says,
            family.kind,
            [(sample, dict(labels), _rule(family, sample)(of)) for (sample, labels), of in values[name].items()],
        )
        for name, family in families.items()
    ]


def _family(metric: Metric) -> Family:
    samples = [(sample.name, sample.labels, float(sample.value)) for sample in metric.samples]
    return Family(metric.name, metric.documentation, metric.type, samples)


def _rule(family: Family, sample: str) -> Rule:
    if family.kind == "gauge":
        return GAUGES[family.name]
    if sample.endswith("_created"):
        return min
    return max if family.name in _SAME else sum
