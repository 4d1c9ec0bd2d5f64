import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.feedback.ledger import Ledger
from app.feedback.receipt import Receipt
from app.feedback.tally import Tally
from app.telemetry.feedback import FeedbackMetrics
from tests.app.api.predict.answering import CLASSES, NUMBERS
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD, POLICY, RECEIPTS, issue


def lines(ledger: Ledger) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(FeedbackMetrics(ledger))
    text = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text if not line.startswith("#"))}


def test_the_counters_of_a_tally() -> None:
    ledger = Ledger()
    assert lines(ledger) == {}
    texts = issue("a", 3, CLASSES_HEAD, CLASSES, None)
    for _ in range(2):
        given = [(text, "a") for text in texts]
        ledger.count(ledger.check(RECEIPTS, 30, given, lambda _: (CLASSES_HEAD, POLICY)), 30)
    found = lines(ledger)
    of = 'head="",model="a",version="3"'
    expected = {
        f'rows_total{{action="",{of}}}': 2,
        f'wrong_total{{action="",{of}}}': 1,
        f"repeats_total{{{of}}}": 2,
        f'loss_total{{head="",loss="brier",{of[8:]}}}': 0.125 + 0.78125,
        f'loss_squares_total{{head="",loss="brier",{of[8:]}}}': 0.125**2 + 0.78125**2,
        f'bin_rows_total{{bin="0.7",{of}}}': 1,
        f'bin_hits_total{{bin="0.8",{of}}}': 1,
        f'bin_confidence_total{{bin="0.7",{of}}}': 0.625,
        'promise_rows_total{head="",model="a",promise="risk 0.05 entropy",version="3"}': 1,
        'promise_failures_total{head="",model="a",promise="prediction set 0.9",version="3"}': 1,
    }
    assert {name: found[f"masksembles_feedback_{name}"] for name in expected} == expected


def test_what_is_awaited_is_there_at_zero_and_then_counted() -> None:
    ledger = Ledger()
    registry = CollectorRegistry()
    metrics = FeedbackMetrics(ledger)
    metrics.awaited = lambda: {("a", 3, ""): Tally(CLASSES_HEAD, POLICY)}
    registry.register(metrics)

    def value(name: str, **labels: str) -> float | None:
        own = {"model": "a", "version": "3", "head": "", **labels}
        return registry.get_sample_value(f"masksembles_feedback_{name}", own)

    assert value("rows_total", action="accept") == value("wrong_total", action="") == 0
    assert value("bin_rows_total", bin="0.1") == value("repeats_total") == 0
    assert value("promise_rows_total", promise="risk 0.05 entropy") == 0
    assert value("promise_allowed", promise="risk 0.05 entropy") == 0.05
    assert value("promise_evidence", promise="risk 0.05 entropy") == 1
    for _ in range(10):
        given = [(text, "b") for text in issue("a", 3, CLASSES_HEAD, CLASSES, None)]
        ledger.count(ledger.check(RECEIPTS, 30, given, lambda _: (CLASSES_HEAD, POLICY)), 30)
    assert value("rows_total", action="") == 20
    assert value("promise_failures_total", promise="risk 0.05 entropy") == 10  # the first of two rows is accepted
    assert value("promise_evidence", promise="risk 0.05 entropy") == pytest.approx(20**10 / 11 / 0.95)  # all failed
    assert value("promise_evidence", promise="prediction set 0.99") < 1


def test_those_of_a_regressor() -> None:
    ledger = Ledger()

    def find(_: Receipt) -> tuple[object, None]:
        return NUMBERS_HEAD, None

    text, _ = issue("a", 3, NUMBERS_HEAD, NUMBERS, None)
    ledger.count(ledger.check(RECEIPTS, 30, [(text, [4.0, 2.0])], find), 30)  # type: ignore[arg-type]
    found = lines(ledger)
    assert found['masksembles_feedback_loss_total{head="",loss="squared error price",model="a",version="3"}'] == 9
    assert not any("wrong" in name or "bin" in name for name in found)
