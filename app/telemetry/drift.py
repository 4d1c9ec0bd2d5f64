"""Shows whether inputs have drifted: compares the scores of the rows served with those of the calibration rows, as
histograms, which tell how far, and by a test, which tells how surely."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.contract.calibration import Calibration
from app.contract.contract_model import Score
from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks.task import Arrays, row_output
from app.telemetry.drift_evidence import ALARM_AT, ROWS_AT_ONCE, DriftEvidence
from app.telemetry.drift_report import DriftReport, ScoreDrift

MONITORED: tuple[Score, ...] = ("entropy", "mutual_information")
"""Scores whose distribution is shown, in nats; each follows from the graph's output of that name."""
_LABELS = ("model", "version", "head")


class ScoreHistogram:
    """Counts a score of the served rows in buckets, and tests it.

    Args:
        edges: upper bounds of the buckets, ascending.
        reference: how many calibration rows lie at or below each edge, and how many there are: one number more.
        value_of: the score's values [B] from the outputs of a batch, by their names in the graph.

    Attributes:
        evidence: the test.
    """

    def __init__(
        self,
        edges: NDArray[np.float64],
        reference: NDArray[np.int64],
        value_of: Callable[[Arrays], NDArray[Any]],
        evidence: DriftEvidence,
    ) -> None:
        self.evidence = evidence
        self._edges = edges
        self._reference = reference
        self._value_of = value_of
        self._counted = _Counted(np.zeros(len(edges) + 1, dtype=np.int64), 0.0)
        self._waiting_rows = 0

    def observe(self, found: Arrays) -> None:
        """Takes in the rows of a batch, given its outputs; values that are not finite will not count."""
        values = self._value_of(found)
        self._counted.waiting.append(values)
        self._waiting_rows += len(values)
        if self._waiting_rows >= ROWS_AT_ONCE:
            values = _finite(self._counted.waiting)
            self._counted, self._waiting_rows = self._count(self._counted, values), 0
            self.evidence.observe(values)

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Upper bounds with cumulative counts, and the sum of all values."""
        now = self._now()
        return self._bounded(now.counts.cumsum()), now.sum

    def reference_buckets(self) -> list[tuple[str, float]]:
        """Upper bounds with cumulative counts of the calibration rows."""
        return self._bounded(self._reference)

    def distance(self) -> float | None:
        """The largest difference between the shares of served and of calibration rows at or below an edge; None
        without rows."""
        served = self._now().counts.cumsum()
        if not served[-1]:
            return None
        return float(np.abs(served / served[-1] - self._reference / self._reference[-1]).max())

    def report(self, head: str, score: Score) -> ScoreDrift:
        """What is to be shown of it."""
        rows, evidence = int(self._now().counts.sum()), self.evidence
        return ScoreDrift(head, score, rows, evidence.value, self.distance(), *evidence.leading())

    def _now(self) -> "_Counted":
        """All rows, those that wait too. Any thread may ask: what is counted is never changed, but replaced."""
        counted = self._counted
        return self._count(counted, _finite(list(counted.waiting)))

    def _count(self, before: "_Counted", values: NDArray[Any]) -> "_Counted":
        # searchsorted puts a value on an edge below it, as Prometheus's `le` wants it
        counts = np.bincount(np.searchsorted(self._edges, values), minlength=len(before.counts))
        return _Counted(before.counts + counts, before.sum + float(values.sum(dtype=np.float64)))

    def _bounded(self, cumulative: NDArray[np.int64]) -> list[tuple[str, float]]:
        return list(zip([*map(str, self._edges.tolist()), "+Inf"], cumulative.tolist()))


@dataclass(frozen=True)
class _Counted:
    """The rows of a histogram: those in its buckets, their sum, and batches that wait to be counted together."""

    counts: NDArray[np.int64]
    sum: float
    waiting: list[NDArray[Any]] = field(default_factory=list)


def _finite(batches: Sequence[NDArray[Any]]) -> NDArray[Any]:
    values = np.concatenate(batches) if batches else np.empty(0)
    return values[np.isfinite(values)]  # one NaN would spoil the sum for ever


class ScoreHistograms(Collector):
    """Histograms of the scores, with the deciles of each version's calibration rows as edges.

    A tenth of the served rows should fall between two edges, as with the calibration rows; if not, the inputs have
    drifted. Where many rows have the same score, deciles coincide and a bucket holds more than a tenth: so the
    calibration rows have a histogram with the same edges beside it. It is a histogram because Prometheus 3 rewrites
    edges, of histograms only, and the two must match. The library's own have one set of edges for all labels.
    """

    def __init__(self) -> None:
        self._scores: dict[tuple[str, str], dict[tuple[str, Score], ScoreHistogram]] = {}

    def add(self, model: str, version: int, contract: Contract) -> list[ScoreHistogram]:
        """Adds a version; returns its histograms, without those of scores that have no reference."""
        calibrated = [
            (head, name, head.calibration, edges)
            for head in contract.heads
            for name in _monitored(head)
            if head.calibration is not None and len(edges := reference_deciles(head, name))
        ]
        found = {
            (head.name, name): ScoreHistogram(
                edges,
                reference_counts(calibration, name, edges),
                partial(_value, head, name),
                DriftEvidence(calibration.quantiles[name], calibration.rows, len(calibrated)),
            )
            for head, name, calibration, edges in calibrated
        }
        self._scores[model, str(version)] = found
        return list(found.values())

    def remove(self, model: str, version: int) -> None:
        """Removes the histograms of a version."""
        self._scores.pop((model, str(version)), None)

    def reports(self, model: str) -> dict[int, DriftReport]:
        """What the test says of each version of a model that has one, by the version's number."""
        return {
            int(version): _report(scores)
            for (name, version), scores in list(self._scores.items())
            if name == model and scores
        }

    def collect(self) -> Iterator[HistogramMetricFamily | GaugeMetricFamily]:
        """The metric families for Prometheus; the histograms are two for each score whether or not a model has it."""
        for name in MONITORED:
            served = HistogramMetricFamily(
                f"masksembles_{name}_nats",
                f"{name} of the rows served, in nats; edges: deciles on the calibration rows",
                labels=_LABELS,
            )
            calibration = HistogramMetricFamily(
                f"masksembles_{name}_calibration_nats",
                f"{name} of the calibration rows, in nats, with the same edges; it has no sum",
                labels=_LABELS,
            )
            for labels, scores in list(self._scores.items()):  # /metrics runs in a thread, beside the event loop
                for (head, score), histogram in scores.items():
                    if score == name:
                        served.add_metric((*labels, head), *histogram.buckets())
                        calibration.add_metric((*labels, head), histogram.reference_buckets(), None)
            yield served
            yield calibration
        evidence = GaugeMetricFamily(
            "masksembles_drift_evidence",
            "How strongly a score's rows speak against being like the calibration rows; 1 at the start, of all scores "
            f"and heads of a version together; {ALARM_AT:g} together is an alarm",
            labels=(*_LABELS, "score"),
        )
        alarm = GaugeMetricFamily(
            "masksembles_drift_alarm",
            f"1 while the evidence of a version is {ALARM_AT:g} or more, by the rows that this process served",
            labels=_LABELS[:2],
        )
        for labels, scores in list(self._scores.items()):
            for (head, score), histogram in scores.items():
                evidence.add_metric((*labels, head, score), histogram.evidence.value)
            if scores:
                alarm.add_metric(labels, _report(scores).alarm)
        yield evidence
        yield alarm


def _report(scores: Mapping[tuple[str, Score], ScoreHistogram]) -> DriftReport:
    return DriftReport.of([histogram.report(*name) for name, histogram in scores.items()])


def monitored_outputs(contract: Contract) -> tuple[str, ...]:
    """The outputs of the graph that the monitored scores follow from; a head of a regressor that predicts no variance
    has none."""
    return tuple(
        head.graph_name(row_output(name) if head.grid else name) for head in contract.heads for name in _monitored(head)
    )


def _monitored(head: Head) -> list[Score]:
    return [score for score in MONITORED if score in head.scores]


def _value(head: Head, name: Score, found: Arrays) -> NDArray[Any]:
    return head.score_value(name, head.own(found))


def reference_deciles(head: Head, score: str) -> NDArray[np.float64]:
    """The 10 %, 20 %, … 90 % quantiles of a score on the calibration rows, each value once.

    Empty if there was no calibration, or if the score is the same on all rows.
    """
    table = dict(head.calibration.quantiles).get(score) if head.calibration else None  # type: ignore[call-overload]
    if table is None or table[0] == table[-1]:
        return np.empty(0)
    return np.unique(np.asarray(table[10:100:10], dtype=np.float64))


def reference_counts(calibration: Calibration, score: Score, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many calibration rows have a score at or below each of its deciles, and how many rows there are.

    To within a hundredth of the rows: the contract holds nothing but 101 quantiles.
    """
    percent = np.searchsorted(calibration.quantiles[score], edges, side="right") - 1
    return np.rint(np.append(percent, 100) * calibration.rows / 100).astype(np.int64)
