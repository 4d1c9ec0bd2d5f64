"""Shows what the truths that came back say, as counters: those of several replicas add up."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from app.feedback.ledger import Ledger
from app.feedback.tally import BINS, Tally

_LABELS = ("model", "version", "head")
_FAMILIES = {
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


class FeedbackCounters(Collector):
    """The counters of a ledger, whose tallies stay the only place where anything is counted."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[CounterMetricFamily]:
        """All families, with a sample for each tally where there is any."""
        found = {
            name: CounterMetricFamily(
                f"masksembles_feedback_{name}", says, labels=(*_LABELS, *([label] if label else []))
            )
            for name, (says, label) in _FAMILIES.items()
        }
        for (model, version, head), tally in self._ledger.tallies.items():
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
        yield "promise_rows", (kept.promise.name,), kept.rows
        yield "promise_failures", (kept.promise.name,), kept.failures
