import msgspec
import numpy as np
import pytest

from app.contract.decisions import Decision
from app.contract.head import Head
from app.contract.tasks import classification, multilabel
from app.feedback.receipt import ACTIONS, FORM, Receipts, scores_of, why_none
from app.feedback.signer import Signer
from tests.app.api.predict.answering import CLASSES, NUMBERS
from tests.app.feedback.receipts import CLASSES_HEAD, NUMBERS_HEAD, RECEIPTS, SECRET, issue

DECISIONS = [Decision("accept", "entropy", 0.25, 0.4, "model"), Decision("defer", "entropy", 0.5, 0.4, "model")]


def test_a_receipt_holds_what_was_answered() -> None:
    texts = issue("a", 3, CLASSES_HEAD, CLASSES, DECISIONS)
    (first, _), (second, _) = map(RECEIPTS.read, texts)
    assert (second.form, second.model, second.version, second.head, second.row) == (FORM, "a", 3, "", 1)
    assert [ACTIONS[one.action] for one in (first, second)] == ["accept", "defer"]
    assert scores_of(second, CLASSES_HEAD) == pytest.approx(
        {"confidence": 0.625, "entropy": 0.5, "expected_entropy": 0.5, "mutual_information": 0, "energy": -1}
    )
    assert np.frombuffer(second.figures[0], "<f4").tolist() == [0.375, 0.625]


def test_a_regressor_has_receipts_too() -> None:
    receipt, _ = RECEIPTS.read(issue("a", 3, NUMBERS_HEAD, NUMBERS, None)[0])
    assert ACTIONS[receipt.action] is None
    assert [np.frombuffer(part, "<f4").tolist() for part in receipt.figures] == [[1, 2], [4, 9]]


def test_no_receipt_equals_another() -> None:
    texts = [text for _ in range(100) for text in issue("a", 3, CLASSES_HEAD, CLASSES, None)]
    assert len(set(texts)) == 200
    assert len({RECEIPTS.read(text)[1] for text in texts}) == 200


def test_a_receipt_is_short() -> None:
    probabilities = np.full((1, 10), 0.1, np.float32)
    head = Head(labels=tuple("abcdefghij"), outputs=classification.outputs())
    found = {**{name: values[:1] for name, values in CLASSES.items()}, "probabilities": probabilities}
    assert len(issue("fashion-mnist", 3, head, found, None)[0]) == 155


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode([1, 2]), msgspec.msgpack.encode({"form": 1})])
def test_what_is_signed_and_no_receipt_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a receipt of this release"):
        RECEIPTS.read(Signer([SECRET]).sign(payload))


def test_another_form_is_refused() -> None:
    payload = msgspec.msgpack.encode([FORM + 1, "a", 3, "", 0, b"", 0, 0, b"", []])
    with pytest.raises(ValueError, match=f"form {FORM + 1}"):
        RECEIPTS.read(Signer([SECRET]).sign(payload))


def test_another_service_cannot_read_it() -> None:
    (text, _) = issue("a", 3, CLASSES_HEAD, CLASSES, None)
    with pytest.raises(ValueError, match="signature"):
        Receipts(Signer([b"x" * 32])).read(text)


def test_which_heads_have_none() -> None:
    assert why_none(CLASSES_HEAD) is None
    dense = Head(labels=("a", "b"), grid=("H", "W"), outputs=classification.outputs(("H", "W")))
    assert "each cell" in (why_none(dense) or "")
    several = Head(task="multilabel", labels=("a", "b"), outputs=multilabel.outputs())
    assert "multilabel" in (why_none(several) or "")
    wide = CLASSES_HEAD.model_copy(update={"labels": tuple(map(str, range(2**16 + 1)))})
    assert "65536 classes" in (why_none(wide) or "")
    targets = NUMBERS_HEAD.model_copy(update={"targets": NUMBERS_HEAD.targets * 33})
    assert "64 targets" in (why_none(targets) or "")
