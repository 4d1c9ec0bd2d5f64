"""Keys as an operator writes them down."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth.keys import SCOPES, Key, make_key, parse_keys, read_keys, sha256

A, B, C = (hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c"))


def test_keys_are_separated_by_commas_or_lines() -> None:
    expected = (
        Key("ci", frozenset({"predict"}), bytes.fromhex(A)),
        Key("Ops.1_x-y", frozenset({"admin", "metrics"}), bytes.fromhex(B)),
    )
    assert parse_keys(f"ci:predict:{A},Ops.1_x-y:admin+metrics:{B}") == expected
    text = f"# who\n\n  ci:predict:{A}  # since May\r\n\tOps.1_x-y:metrics+admin:{B},\n# old:predict:{C}"
    assert parse_keys(text) == expected


@pytest.mark.parametrize("text", ["", " ", "\n\n", ",,", "# nothing", f"#ci:predict:{A}"])
def test_there_may_be_none(text: str) -> None:
    assert parse_keys(text) == ()


EXPECTED = "expected name:scopes:digest"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ci", f"key 1: {EXPECTED}"),
        (f"ci:{A}", f"key 1: {EXPECTED}"),
        (f":predict:{A}", f"key 1: {EXPECTED}"),
        (f"ci::{A}", f"key 1: {EXPECTED}"),
        (f"ci:predict:{A}0", f"key 1: {EXPECTED}"),
        (f"ci:predict:{A[1:]}", f"key 1: {EXPECTED}"),
        (f"ci:predict:{A.upper()}", f"key 1: {EXPECTED}"),
        (f"ci:predict:{A}:x", f"key 1: {EXPECTED}"),
        (f"ci:predict:sha256:{A}", f"key 1: {EXPECTED}"),
        (f"ci:predict {A}", f"key 1: {EXPECTED}"),
        (f"c i:predict:{A}", f"key 1: {EXPECTED}"),
        (f"-ci:predict:{A}", f"key 1: {EXPECTED}"),
        (f"{'x' * 65}:predict:{A}", f"key 1: {EXPECTED}"),
        (f"ci:PREDICT:{A}", f"key 1: {EXPECTED}"),
        (f"ci:predict;admin:{A}", f"key 1: {EXPECTED}"),
        (f"{A}:predict:ci", f"key 1: {EXPECTED}"),
        (f"ci:predict:{A};ops:admin:{B}", f"key 1: {EXPECTED}"),
        (f"ci:predict:{A}, ops:admin:{B[:-1]}g", f"key 2: {EXPECTED}"),
        (f"ci:predikt:{A}", "key 1: unknown scope 'predikt'; there are: predict, metrics, admin"),
        (f"ci:predict+:{A}", "key 1: unknown scope ''"),
        (f"# c\nci:predict:{A}\n\nops:root:{B}", "key 2: unknown scope 'root'"),
        (f"ci:predict:{A},ci:admin:{B}", "a name is there twice"),
        (f"ci:predict:{A},ops:admin:{A}", "a digest is there twice"),
    ],
)
def test_what_is_no_key_is_refused_without_telling_a_digest(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^(key \d|a (name|digest))") as refused:
        parse_keys(text)
    assert str(refused.value).startswith(message)
    for secret in (A, B):
        assert secret[:16] not in str(refused.value).lower()


@given(st.text(alphabet="ci:predict+,#\n 0af", max_size=60))
def test_any_text_is_keys_or_a_value_error_of_one_line(text: str) -> None:
    try:
        keys = parse_keys(text)
    except ValueError as error:
        message = str(error)
    else:
        assert all(key.scopes <= set(SCOPES) for key in keys)
        return
    assert len(message.splitlines()) == 1


def test_a_file_has_at_least_one(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\nci:predict:{A}\n")
    assert read_keys(file) == parse_keys(f"ci:predict:{A}")
    file.write_text("# none yet\n")
    with pytest.raises(ValueError, match="there is no key in it"):
        read_keys(file)
    file.write_bytes(b"ci:predict:\xff\xfe")
    with pytest.raises(ValueError, match="utf-8"):
        read_keys(file)
    with pytest.raises(OSError, match="No such file"):
        read_keys(tmp_path / "nowhere")


@pytest.mark.parametrize("scopes", ["predict", "metrics+predict", "admin+metrics+predict"])
def test_the_line_of_a_new_key_lets_it_in(scopes: str) -> None:
    key, line = make_key("ci", scopes)
    (found,) = parse_keys(line)
    assert found == Key("ci", frozenset(scopes.split("+")), sha256(key.encode()))  # type: ignore[arg-type]
    assert found.digest == hashlib.sha256(key.encode()).digest()
    assert key not in line


def test_no_two_new_keys_are_the_same() -> None:
    keys = {make_key("ci", "predict")[0] for _ in range(50)}
    assert len(keys) == 50
    assert all(key.isascii() and " " not in key and len(key) > 40 for key in keys)


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("", "predict"),
        ("a b", "predict"),
        ("a,b", "predict"),
        ("#ci", "predict"),
        ("a\nb", "predict"),
        (f"a:predict:{A},b", "predict"),
        ("ci", "root"),
        ("ci", ""),
        ("ci", f"predict:{A} #"),
    ],
)
def test_a_new_key_needs_a_good_name_and_known_scopes(name: str, scopes: str) -> None:
    with pytest.raises(ValueError, match="key 1"):
        make_key(name, scopes)
