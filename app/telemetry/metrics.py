"""The metrics that Prometheus reads at /metrics; in base units, with the prefix `masksembles_`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from app.contract.decisions import Action
from app.contract.schema import Contract
from app.feedback.ledger import Ledger, TallyKey
from app.feedback.tally import Tally
from app.telemetry.drift import ScoreHistogram, ScoreHistograms
from app.telemetry.drift_report import DriftReport
from app.telemetry.feedback import FeedbackMetrics
from app.telemetry.statistics import Statistics
from app.telemetry.together import Together
from app.telemetry.versions import States, VersionGauges
from app.workers.board import Board
from app.workers.place import Place

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_MODEL = ("model", "version")
_VERSIONS_BEFORE = 3  # for each model, besides loaded ones; older series end, or they grow without bound


class Telemetry:
    """The metrics of one service. Only the event loop reports what happens to requests.

    Args:
        loaded: how many versions of a model may be in memory.
    """

    def __init__(self, loaded: int = 1) -> None:
        self._versions = loaded + _VERSIONS_BEFORE
        self._registry = CollectorRegistry()  # not the global one: a process may hold several services, as tests do
        self._together: Together | None = None
        self._series: dict[str, dict[int, Series]] = {}  # by model and version
        self._rejected: dict[str, Any] = {}  # kept: `labels` takes a lock and builds a key every time
        ProcessCollector(registry=self._registry)
        self._drift = ScoreHistograms()
        self._registry.register(self._drift)
        self.feedback = Ledger()
        self._feedback_metrics = FeedbackMetrics(self.feedback)
        self._registry.register(self._feedback_metrics)
        self._model_versions = VersionGauges()
        self._registry.register(self._model_versions)

        def histogram(name: str, says: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"masksembles_{name}", says, _MODEL, registry=self._registry, buckets=buckets)

        self.requests = Counter(
            "masksembles_requests",
            "Requests to predict, by what became of them: ok, client_gone, or the code of the error",
            (*_MODEL, "outcome"),
            registry=self._registry,
        )
        self.decisions = Counter(
            "masksembles_decisions",
            "Rows answered with a decision, by what the policy of the model or the operator says of them; "
            "requests' own, stricter ones change nothing here",
            (*_MODEL, "head", "action"),
            registry=self._registry,
        )
        self.request_seconds = histogram(
            "request_seconds", "From a request's head to its answer, of those for which a model was found", _SECONDS
        )
        self.queue_seconds = histogram("queue_seconds", "From a request's arrival in the queue to a device", _SECONDS)
        self.compute_seconds = histogram("compute_seconds", "Time of a batch on its device", _SECONDS)
        self.batch_rows = histogram("batch_rows", "Rows in a batch", _ROWS)
        self._reloads = Counter(
            "masksembles_reloads",
            "Versions that were loaded, unloaded or rejected; those at the start among them",
            ("model", "result"),
            registry=self._registry,
        )
        self._halved = Counter(
            "masksembles_out_of_memory",
            "Batches that did not fit a device's memory and were halved",
            registry=self._registry,
        )
        self._queue_rows = Gauge("masksembles_queue_rows", "Rows that wait for a device", registry=self._registry)
        self._queue_limit = Gauge("masksembles_queue_limit_rows", "Most rows that may wait", registry=self._registry)
        self._memory_held = Gauge(
            "masksembles_memory_held_bytes",
            "What requests hold as bodies, waiting inputs and answers",
            registry=self._registry,
        )
        self._memory_budget = Gauge(
            "masksembles_memory_budget_bytes", "Most that requests may hold together", registry=self._registry
        )
        self._memory_refusals = Counter(
            "masksembles_memory_refusals",
            "Requests that were refused because they did not fit the memory budget",
            registry=self._registry,
        )
        self._kept = Counter(
            "masksembles_feedback_kept_rows",
            "Rows with a receipt whose outputs the database of feedback was to keep: stored, or dropped since it took "
            "none for too long",
            ("outcome",),
            registry=self._registry,
        )
        self._feedback_failing = Gauge(
            "masksembles_feedback_database_failing",
            "1 while the database of feedback cannot be reached or is full: truths are refused with a 503 then",
            registry=self._registry,
        )
        self._ready = Gauge("masksembles_ready", "1 while predictions are answered", registry=self._registry)
        self._fallback = Gauge(
            "masksembles_cpu_fallback",
            "1 where the CPU runs what a GPU would have run, had there been a usable one",
            registry=self._registry,
        )
        self._device = Gauge(
            "masksembles_device_info",
            "Where models run, always 1",
            ("device", "provider", "onnxruntime", "cuda"),
            registry=self._registry,
        )
        self._devices = Gauge("masksembles_devices", "Devices that share the work", registry=self._registry)
        self._stuck = Gauge(
            "masksembles_device_stuck",
            "1 while the device has not come back from a run that takes far longer than usual",
            ("device",),
            registry=self._registry,
        )

    def watch(
        self,
        *,
        queue_rows: Callable[[], float],
        queue_limit: int,
        memory_held: Callable[[], float],
        memory_budget: int,
        ready: Callable[[], float],
        versions: Callable[[], Mapping[str, States]],
        awaited: Callable[[], Mapping[TallyKey, Tally]],
    ) -> None:
        """Sets the functions that every scrape calls, for rows that wait, bytes that requests hold, readiness, the
        versions of each model and the heads whose truths may come; and the most that rows and bytes may be."""
        self._queue_rows.set_function(queue_rows)
        self._queue_limit.set(queue_limit)
        self._memory_held.set_function(memory_held)
        self._memory_budget.set(memory_budget)
        self._ready.set_function(ready)
        self._model_versions.read = versions
        self._feedback_metrics.awaited = awaited

    def join(self, place: Place, board: Board) -> None:
        """Shows the metrics of all workers from now on, and lets them show these."""
        self._together = Together(self._registry, self._own_statistics, place, board)
        self._together.start()

    def describe(self, device: Mapping[str, str], count: int, fell_back: bool) -> None:
        """Sets where models run: `device`, `provider`, and the versions of `onnxruntime` and `cuda`."""
        self._device.labels(**device).set(1)
        self.working(count)
        for index in range(count):
            self.stuck(index, False)
        self._fallback.set(int(fell_back))

    def series(self, model: str, version: int, contract: Contract | None) -> "Series":
        """The metrics of a version. Making a new one ends the oldest if there are too many."""
        try:
            return self._series[model][version]
        except KeyError:
            pass
        versions = self._series.setdefault(model, {})
        scores = self._drift.add(model, version, contract) if contract is not None else []
        heads = [head.name for head in contract.heads] if contract is not None else []
        versions[version] = made = Series(self, (model, str(version)), heads, scores)
        for old in list(versions)[: -self._versions]:
            versions.pop(old).end()
            self._drift.remove(model, old)
        return made

    def statistics(self) -> dict[str, Statistics]:
        """What each version has done, as `model:version`, at all workers where there are several."""
        return self._own_statistics() if self._together is None else self._together.statistics()

    def _own_statistics(self) -> dict[str, Statistics]:
        return {
            f"{model}:{version}": series.statistics
            for model, versions in list(self._series.items())
            for version, series in list(versions.items())
        }

    def drift_reports(self, model: str) -> dict[int, DriftReport]:
        """What the test for drift says of each version of a model, by its number; none of one without calibration."""
        return self._drift.reports(model)

    def rejected(self, outcome: str) -> None:
        """Counts a request that ended before its model was found."""
        counter = self._rejected.get(outcome)
        if counter is None:
            counter = self._rejected[outcome] = self.requests.labels("", "", outcome)
        counter.inc()

    def memory_refused(self) -> None:
        """Counts a request that did not fit the memory budget."""
        self._memory_refusals.inc()

    def kept(self, outcome: Literal["stored", "dropped"], rows: int) -> None:
        """Counts rows whose outputs the database of feedback was to keep; any thread may."""
        self._kept.labels(outcome).inc(rows)

    def feedback_failing(self, is_so: bool) -> None:
        """Sets whether the database of feedback takes nothing now."""
        self._feedback_failing.set(int(is_so))

    def reloaded(self, model: str, result: str) -> None:
        """Counts a version that was `loaded`, `unloaded` or `rejected`."""
        self._reloads.labels(model, result).inc()

    def working(self, devices: int) -> None:
        """Sets how many devices share the work; fewer when one is lost or stuck."""
        self._devices.set(devices)

    def stuck(self, device: int, is_so: bool) -> None:
        """Sets whether a device is stuck in a run."""
        self._stuck.labels(str(device)).set(int(is_so))

    def halved(self) -> None:
        """Counts a batch that did not fit a device's memory."""
        self._halved.inc()

    def render(self) -> bytes:
        """All metrics in Prometheus's text format, of all workers where there are several."""
        return generate_latest(self._registry if self._together is None else self._together)


class Series:
    """The metrics of one version of a model."""

    def __init__(
        self, of: Telemetry, labels: tuple[str, str], heads: Sequence[str], scores: Sequence[ScoreHistogram]
    ) -> None:
        self._of = of
        self._labels = labels
        self._heads = heads
        self._outcomes: dict[str, Any] = {}
        self._decisions: dict[tuple[str, Action], Any] = {}
        self._scores = scores
        self._ended = False
        self.statistics = Statistics()
        self._metrics = (of.request_seconds, of.queue_seconds, of.compute_seconds, of.batch_rows)
        self._request, self._queue, self._compute, self._rows = (
            metric.labels(*self._labels) for metric in self._metrics
        )

    def answered(self, outcome: str, seconds: float) -> None:
        """Counts a request and its total time."""
        if self._ended:  # a new counter would bring the series back, and nobody would remove it
            return
        counter = self._outcomes.get(outcome)
        if counter is None:
            counter = self._outcomes[outcome] = self._of.requests.labels(*self._labels, outcome)
        counter.inc()
        self._request.observe(seconds)

    def decided(self, rows: Mapping[tuple[str, Action], int]) -> None:
        """Counts the accepted, deferred and rejected rows of an answer, by head and action."""
        if self._ended or not rows:
            return
        if not self._decisions:  # all at once: a counter that starts at 1 shows no increase
            self._decisions = {
                (head, action): self._of.decisions.labels(*self._labels, head, action)
                for head in self._heads
                for action in get_args(Action)
            }
        for decision, count in rows.items():
            self._decisions[decision].inc(count)

    def waited(self, seconds: float) -> None:
        """Records a request's time in the queue."""
        self._queue.observe(seconds)

    def computed(self, rows: int, seconds: float, found: Mapping[str, NDArray[Any]]) -> None:
        """Records a batch: its rows, its time on the device, and its outputs."""
        self.statistics.computed(rows, seconds)
        self._rows.observe(rows)
        self._compute.observe(seconds)
        for score in self._scores:
            score.observe(found)

    def end(self) -> None:
        """Removes its metrics from the exposition; later reports go nowhere."""
        self._ended = True
        for metric in self._metrics:
            metric.remove(*self._labels)
        for outcome in self._outcomes:
            self._of.requests.remove(*self._labels, outcome)
        for head, action in self._decisions:
            self._of.decisions.remove(*self._labels, head, action)
