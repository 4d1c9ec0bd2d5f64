import base64
import hashlib

import pytest

from app.feedback.signer import SIGNATURE, Signer, parse_secrets

OLD, NEW = b"o" * 32, b"n" * 32


@pytest.mark.parametrize("text", [f"{'n' * 32},{'o' * 32}", f"{'n' * 32}\n{'o' * 32}\n", f" {'n' * 32} , {'o' * 32}"])
def test_two_secrets_come_apart_at_a_comma_or_a_line(text: str) -> None:
    assert parse_secrets(text) == (NEW, OLD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got 0"),
        (",".join(["x" * 32] * 3), "got 3"),
        ("short", "secret 1: expected 32 characters"),
        (f"{'n' * 32},hidden", "secret 2: expected 32 characters"),
    ],
)
def test_bad_secrets_are_refused_and_not_repeated(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        parse_secrets(text)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("size", range(6))
def test_what_was_signed_comes_back(size: int) -> None:
    signer = Signer([NEW])
    text = signer.sign(bytes(range(size)))
    assert text.isascii()
    assert not set(text) & set("+/=")
    payload, signature = signer.verify(text)
    assert payload == bytes(range(size))
    assert len(signature) == SIGNATURE


@pytest.mark.parametrize("size", [32, 64, 65, 200])
def test_the_signature_is_keyed_blake2b(size: int) -> None:
    secret = bytes(range(size))
    key = secret if size <= 64 else hashlib.blake2b(secret).digest()
    expected = hashlib.blake2b(b"what was answered", key=key, digest_size=16, person=b"receipt").digest()
    signed = base64.urlsafe_b64decode(Signer([secret]).sign(b"what was answered") + "=")
    assert signed == b"what was answered" + expected


def test_every_letter_of_a_long_secret_counts() -> None:
    with pytest.raises(ValueError, match="signature"):
        Signer([b"a" * 99 + b"b"]).verify(Signer([b"a" * 100]).sign(b"a"))


def test_while_a_secret_is_changed_both_are_accepted_and_the_first_signs() -> None:
    both = Signer([NEW, OLD])
    assert both.verify(Signer([OLD]).sign(b"a"))[0] == b"a"
    assert both.sign(b"a") == Signer([NEW]).sign(b"a")
    with pytest.raises(ValueError, match="signature"):
        Signer([NEW]).verify(Signer([OLD]).sign(b"a"))


def test_every_changed_bit_is_noticed() -> None:
    signer = Signer([NEW])
    signed = base64.urlsafe_b64decode(signer.sign(b"ab"))  # 18 bytes: no padding
    for bit in range(8 * len(signed)):
        changed = bytearray(signed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="signature"):
            signer.verify(base64.urlsafe_b64encode(changed).decode())


@pytest.mark.parametrize("text", ["", "a", "abcde", "é", "YQ", "=" * 8])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"signature|base64url"):
        Signer([NEW]).verify(text)
