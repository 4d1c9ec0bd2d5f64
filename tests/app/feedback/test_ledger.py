import time

import pytest

from app.contract.head import Head
from app.contract.policy import Policy
from app.errors import InvalidInput
from app.feedback import ledger as ledgers
from app.feedback.ledger import Ledger
from app.feedback.receipt import Receipt
from app.feedback.seen import Seen
from tests.app.api.predict.answering import CLASSES
from tests.app.feedback import receipts
from tests.app.feedback.receipts import CLASSES_HEAD, POLICY, RECEIPTS

DAY = 86_400


def find(receipt: Receipt) -> tuple[Head, Policy | None]:
    if receipt.model == "foreign":
        raise ValueError("foreign is not in the repository")
    return CLASSES_HEAD, POLICY


def issue(model: str = "a", version: int = 3) -> list[str]:
    return receipts.issue(model, version, CLASSES_HEAD, CLASSES)


def send(ledger: Ledger, *texts: str, days: float = 30) -> int:
    return ledger.count(ledger.check(RECEIPTS, days, [(text, "a") for text in texts], find), days)


def test_each_receipt_counts_once() -> None:
    ledger = Ledger()
    first, second = issue()
    assert send(ledger, second, first, second) == 2
    assert send(ledger, first) == 0
    (tally,) = ledger.tallies.values()
    assert (tally.rows, tally.repeats) == (2, 2)


def test_versions_have_tallies_of_their_own() -> None:
    ledger = Ledger()
    send(ledger, *issue(), *issue(version=4), *issue("b"))
    assert [(key, tally.rows) for key, tally in ledger.tallies.items()] == [
        (("a", 3, ""), 2), (("a", 4, ""), 2), (("b", 3, ""), 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "message"),
    [("AAAA", "signature"), (issue("foreign")[0], "not in the repository"), ("!", "base64url|signature")],
)
def test_one_bad_receipt_leaves_all_uncounted(bad: str, message: str) -> None:
    ledger = Ledger()
    first, second = issue()
    with pytest.raises(InvalidInput, match=message) as refused:
        send(ledger, first, bad, second)
    assert refused.value.field == "feedback[1].receipt"
    assert ledger.tallies == {}
    assert send(ledger, first, second) == 2


def test_an_impossible_truth_is_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        Ledger().check(RECEIPTS, 30, [(issue()[0], "a"), (issue()[0], "z")], find)
    assert refused.value.field == "feedback[1].truth"


def test_a_receipt_lives_for_days() -> None:
    text = issue()[0]
    assert send(Ledger(clock=lambda: time.time() + 29 * DAY), text) == 1
    with pytest.raises(InvalidInput, match="30 days"):
        send(Ledger(clock=lambda: time.time() + 31 * DAY), text)
    with pytest.raises(InvalidInput, match=r"0\.5 days"):
        send(Ledger(clock=lambda: time.time() + DAY), text, days=0.5)


def test_what_is_forgotten_is_not_taken() -> None:
    seen = Seen()
    seen.since = int(time.time()) + 1
    with pytest.raises(InvalidInput, match="nobody knows"):
        send(Ledger(seen), issue()[0])


def test_tallies_do_not_grow_with_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "_MOST_TALLIES", 2)
    ledger = Ledger()
    for version in (1, 2, 1, 3):
        send(ledger, *issue(version=version))
    assert [version for _, version, _ in ledger.tallies] == [1, 3]  # 2 is that which changed first
