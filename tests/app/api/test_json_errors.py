import msgspec
import pytest

from app.api.json_errors import NOT_JSON, malformed, place


def refused(body: bytes) -> Exception:
    with pytest.raises(NOT_JSON) as caught:
        msgspec.json.decode(body)
    return caught.value


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b"", None, "the body is not JSON: Input data was truncated"),
        (b'{"a": nan}', None, "the body is not JSON"),
        (b'"\xff"', None, "the body is not JSON"),
        (b"[" * 90_000, None, "the body is not JSON"),
        (b'{"a": 1, "inputs": [[0.5, NaN]]}', "inputs", "NaN at byte 26: JSON has no such number"),
        (b'{"inputs": [-Infinity]}', "inputs", "Infinity at byte 13: JSON has no such number"),
        (b'{"a" : Infinity}', "a", "Infinity at byte 7"),
        (b"[NaN]", None, "NaN at byte 1"),
    ],
)
def test_what_is_no_json_says_where(body: bytes, field: str | None, message: str) -> None:
    error = malformed(body, refused(body))
    assert error.message.startswith(message)
    assert error.field == field


@pytest.mark.parametrize(
    ("kind", "body", "where"),
    [
        (list[list[int]], b"[[1], [2, true]]", "[1][1]"),
        (dict[str, list[int]], b'{"a": ["x"]}', "[...][0]"),
        (int, b'"x"', ""),
    ],
)
def test_a_wrong_type_has_a_place(kind: type, body: bytes, where: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=kind)
    message, found = place(caught.value)
    assert message.startswith("Expected `int`, got `")
    assert found == where


def test_a_field_of_a_struct_is_named_without_a_dot() -> None:
    kind = msgspec.defstruct("Kind", [("model", str)])
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(b'{"model": 3}', type=kind)
    assert place(caught.value) == ("Expected `str`, got `int`", "model")
