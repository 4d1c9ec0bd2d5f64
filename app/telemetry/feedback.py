"""Shows what the truths that came back say: counters, which add up over replicas, and evidence against promises."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.feedback.ledger import Ledger, TallyKey
from app.feedback.tally import BINS, Tally

_LABELS = ("model", "version", "head")
_COUNTERS = {
    "rows": ("Rows whose truth came back, by what was decided on them; no action where nobody has a policy", "action"),
    "wrong": ("Those among them that a classifier answered wrongly", "action"),
    "repeats": ("Receipts that came again and were not counted", None),
    "loss": ("Sum of a loss over these rows: brier (0 to 2), nll in nats, or the squared error of a target", "loss"),
    "loss_squares": ("Sum of the squares of the Brier scores, for confidence intervals", "loss"),
    "bin_rows": ("Rows of a classifier by their confidence, in ten bins of equal width", "bin"),
    "bin_hits": ("Those among them that were answered rightly", "bin"),
    "bin_confidence": ("Sum of their confidences", "bin"),
    "promise_rows": ("Rows of which something is promised: a set or interval's coverage, a threshold's", "promise"),
    "promise_failures": ("Those among them of which it does not hold", "promise"),
}
"""What each counter says, and its own label."""
_GAUGES = {
    "promise_allowed": ("Largest share of these rows of which it may not hold", "promise"),
    "promise_evidence": (
        "How strongly the rows of this process speak against a promise, 1 at the start; at 40 it is broken, which of "
        "one that holds is ever said with a probability of 5 % at most",
        "promise",
    ),
}
"""The same of the gauges."""


class FeedbackMetrics(Collector):
    """The metrics of a ledger, whose tallies stay the only place where anything is counted.

    Attributes:
        awaited: tallies without rows of the heads that give receipts. A counter that begins at 0 shows its first rows
            as an increase.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.awaited: Callable[[], Mapping[TallyKey, Tally]] = dict

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All families, with samples of each tally."""
        found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
            name: family(f"masksembles_feedback_{name}", says, labels=(*_LABELS, *([label] if label else [])))
            for family, these in ((CounterMetricFamily, _COUNTERS), (GaugeMetricFamily, _GAUGES))
            for name, (says, label) in these.items()
        }
        for (model, version, head), tally in {**self.awaited(), **self._ledger.tallies}.items():
            for name, own, value in _samples(tally):
                found[name].add_metric((model, str(version), head, *own), value)
        yield from found.values()


def _samples(tally: Tally) -> Iterator[tuple[str, tuple[str, ...], float]]:
    yield "repeats", (), tally.repeats
    for action, decided in tally.decisions.items():
        yield "rows", (action or "",), decided.rows
        if tally.wrong is not None:
            yield "wrong", (action or "",), decided.wrong
    for name, loss in tally.losses.items():
        yield "loss", (name,), loss.total
        if name == "brier":
            yield "loss_squares", (name,), loss.squares
    for index, one in enumerate(tally.bins):
        upper = (f"{(index + 1) / BINS:g}",)
        yield "bin_rows", upper, one.rows
        yield "bin_hits", upper, one.hits
        yield "bin_confidence", upper, one.confidence
    for kept in tally.promises:
        promise = kept.promise
        yield "promise_rows", (promise.name,), kept.rows
        yield "promise_failures", (promise.name,), kept.failures
        yield "promise_allowed", (promise.name,), promise.allowed
        yield "promise_evidence", (promise.name,), promise.evidence(kept.failures, kept.rows)
