from prometheus_client import CollectorRegistry, generate_latest

from app.feedback.ledger import Ledger
from app.feedback.receipt import Receipt
from app.telemetry.feedback import FeedbackCounters
from tests.app.api.predict.answering import CLASSES, NUMBERS
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD, POLICY, RECEIPTS, issue


def lines(ledger: Ledger) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(FeedbackCounters(ledger))
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


def test_those_of_a_regressor() -> None:
    ledger = Ledger()

    def find(_: Receipt) -> tuple[object, None]:
        return NUMBERS_HEAD, None

    text, _ = issue("a", 3, NUMBERS_HEAD, NUMBERS, None)
    ledger.count(ledger.check(RECEIPTS, 30, [(text, [4.0, 2.0])], find), 30)  # type: ignore[arg-type]
    found = lines(ledger)
    assert found['masksembles_feedback_loss_total{head="",loss="squared error price",model="a",version="3"}'] == 9
    assert not any("wrong" in name or "bin" in name for name in found)
