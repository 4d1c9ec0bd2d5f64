import pytest

from app.feedback.receipt import Receipt
from app.feedback.tally import Bin, Tally, calibration_error
from tests.app.api.predict.answering import CLASSES, NUMBERS
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD, POLICY, RECEIPTS, issue


def receipts() -> list[Receipt]:
    return [RECEIPTS.read(text)[0] for text in issue("a", 3, CLASSES_HEAD, CLASSES, None)]


def test_sums_of_a_classifier() -> None:
    tally = Tally(CLASSES_HEAD, POLICY)
    for receipt in receipts():  # [0.75, 0.25] and [0.375, 0.625]: the second answer is wrong
        tally.check(receipt)
        tally.count(tally.judge(receipt, "a"))
    assert (tally.rows, tally.wrong) == (2, 1)
    first, second = 2 * 0.25**2, 2 * 0.625**2
    assert tally.losses["brier"] == pytest.approx((first + second, first**2 + second**2))
    assert (tally.decisions[None].rows, tally.decisions[None].wrong) == (2, 1)
    assert [(at, one.rows, one.hits, one.confidence) for at, one in enumerate(tally.bins) if one.rows] == [
        (6, 1, 0, 0.625), (7, 1, 1, 0.75),
    ]  # fmt: skip
    # entropies 0.25 and 0.5, of which the threshold 0.4 lets the first pass
    assert [(kept.rows, kept.failures) for kept in tally.promises] == [(2, 1), (2, 0), (2, 1), (1, 0)]


def test_judging_changes_nothing() -> None:
    tally = Tally(CLASSES_HEAD, POLICY)
    tally.judge(receipts()[0], "a")
    assert tally.rows == 0
    with pytest.raises(ValueError, match="no label"):
        tally.judge(receipts()[0], "c")


def test_a_regressor_is_neither_right_nor_wrong() -> None:
    tally = Tally(NUMBERS_HEAD, None)
    receipt, _ = RECEIPTS.read(issue("a", 3, NUMBERS_HEAD, NUMBERS, None)[0])
    tally.count(tally.judge(receipt, [1, 2]))
    assert (tally.rows, tally.wrong, tally.bins) == (1, None, [])


def test_a_receipt_of_another_file_is_noticed() -> None:
    with pytest.raises(ValueError, match="not the one that answered"):
        Tally(NUMBERS_HEAD, None).check(receipts()[0])


def test_confidence_1_is_in_the_last_bin() -> None:
    tally = Tally(CLASSES_HEAD, None)
    certain = {**CLASSES, "probabilities": CLASSES["probabilities"] * 0 + [[1, 0]]}
    receipt, _ = RECEIPTS.read(issue("a", 3, CLASSES_HEAD, certain, None)[0])
    tally.count(tally.judge(receipt, 0))
    assert tally.bins[-1] == Bin(rows=1, hits=1, confidence=1.0)


def test_the_calibration_error() -> None:
    assert calibration_error([]) is None
    assert calibration_error([Bin(2, 1, 1.8), Bin(2, 2, 2.0)]) == pytest.approx(0.8 / 4)
