"""Both ways to read numbers read the same, and the fast one never reads what the other refuses."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api import json_arrays
from app.api.predict import json_inputs
from app.contract.schema import Contract
from app.contract.tensor import WHOLE
from app.engine.row_shapes import Feeds
from app.errors import InvalidInput
from tests.app.api.predict.reading import LEVEL, SEVERAL, contract_of, only, refusal, rows_of

UNIT = only("float32", 2, 3, range=(0.0, 1.0))


def read(text: str, of: Contract = UNIT, most: int = 8) -> Feeds:
    rows = rows_of(of, most)
    json_inputs.read(msgspec.Raw(text.encode()), rows)
    return rows.whole()


def both(text: str, of: Contract = UNIT, most: int = 8) -> tuple[np.ndarray | None, np.ndarray | str]:
    """What the fast way gives, and the other or the field that it complains of."""
    given, form = of.given, json_inputs._form(of.given)
    fast = json_inputs._read_numbers(text.encode(), json_arrays.brackets_of(text.encode()), given, form, most)
    try:
        return fast, json_inputs._read_nested(msgspec.Raw(text.encode()), given, form, most, "inputs")
    except InvalidInput as error:
        return fast, str(error.field)


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("[[[0,0.5,1],[1e-3,1E0,0.25]]]", UNIT),
        (" [ [ [0,\t0.5,1],\n[0.1,0.2,0.3]],[[1,1,1],[0,0,0]]]\r\n", UNIT),
        ("[[1e-400,-0.0,3.4e38]]", only("float32", 3)),
        ("[[0,255]]", only("uint8", 2)),
        ("[[-9007199254740992,9007199254740992]]", only("int64", 2)),
        ("[[-2147483648,2147483647]]", only("int32", 2)),
        ("[[0,1],[1,1]]", only("bool", 2)),
        ("[[[[7]]]]", only("float32", 1, 1, 1)),
        ("[0.5,0.25]", only("float32")),
    ],
)
def test_good_numbers(text: str, of: Any) -> None:
    fast, nested = both(text, of)
    assert fast is not None
    assert isinstance(nested, np.ndarray)
    assert fast.dtype == nested.dtype
    np.testing.assert_array_equal(fast, nested)


@pytest.mark.parametrize(
    "text",
    [
        "[]", "[[]]", "[[[0,0,0]]]", "[[[0,0,0],[0,0]]]", "[[0,0,0],[0,0,0]]", "[[[0,0,0],[0,0,[0]]]]", "1", "{}",
        "[[[0,0,true],[0,0,0]]]", "[[[0,0,null],[0,0,0]]]", '[[[0,0,"0"],[0,0,0]]]', "[[[0,0,{}],[0,0,0]]]",
        "[[[0,0,1.001],[0,0,0]]]", "[[[0,0,-1e-9],[0,0,0]]]", "[[[0,0,1e999],[0,0,0]]]",
        "[[[0,0,123456789012345678901234567890],[0,0,0]]]", "[" + ",".join(["[[0,0,0],[0,0,0]]"] * 9) + "]",
    ],
)  # fmt: skip
def test_bad_numbers_are_refused_by_both(text: str) -> None:
    fast, nested = both(text)
    assert fast is None
    assert isinstance(nested, str)


@pytest.mark.parametrize("text", ["[[0,1.5]]", "[[0,256]]", "[[0,-1]]", "[[0,1.0]]"])
def test_bytes_are_whole_numbers(text: str) -> None:
    fast, nested = both(text, only("uint8", 2))
    assert fast is None
    assert isinstance(nested, (str, np.ndarray))


NESTED = st.recursive(
    st.one_of(st.floats(-1, 2), st.integers(-1, 300), st.booleans(), st.none(), st.just("0")),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400)
@given(NESTED)
def test_the_fast_way_reads_nothing_that_the_other_refuses(value: Any) -> None:
    for of in (UNIT, only("float32", 2), only("float32", 1, 1), *(only(dtype, 2) for dtype in WHOLE), only("bool", 2)):
        fast, nested = both(json.dumps(value), of)
        if fast is not None:
            np.testing.assert_array_equal(fast, nested)


def test_without_the_fast_way_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[[[0,0.5,1],[0.001,1,0.25]]]"
    fast = read(text)["input"]
    monkeypatch.setattr("app.api.json_arrays.simdjson", None)
    np.testing.assert_array_equal(read(text)["input"], fast)


def test_every_channel_is_held_against_its_own_range() -> None:
    of = only("float32", 2, 3, range=(0.0, 1000.0), channel_ranges=((0.0, 1.0), (900.0, 1000.0)))
    fast, nested = both("[[[0,0.5,1],[900,950,1000]]]", of)
    np.testing.assert_array_equal(fast, nested)
    assert both("[[[0,0.5,1],[900,950,1000]],[[0,0.5,2],[900,950,1000]]]", of) == (None, "inputs[1][0][2]")
    assert both("[[[0,0.5,1],[900,899,1000]]]", of) == (None, "inputs[0][1][1]")
    with pytest.raises(InvalidInput, match=r"expected values in \[900, 1000\] \(grey value\), got 899; 1 of 6"):
        read("[[[0,0.5,1],[900,899,1000]]]", of)


@pytest.mark.parametrize("text", ["[[true,false]]", "[[1,0]]", "[[true,0]]", "[[1,false]]", " [ [ true ,\n0 ] ] "])
def test_booleans_are_words_or_1_and_0(text: str) -> None:
    found = read(text, only("bool", 2))["input"]
    assert (found.dtype, found.tolist()) == (np.bool_, [[True, False]])


@pytest.mark.parametrize("wrong", ["2", "-1", "0.5", "1.0", "null", '"true"', "True", "tru", "[1]"])
def test_nothing_else_is_a_boolean(wrong: str) -> None:
    field, message = refusal(lambda: read(f"[[true,{wrong}]]", only("bool", 2)))
    assert field is not None
    assert field.startswith("inputs")
    assert "expected true, false, 1 or 0 nested as [B, 2]" in message


@pytest.mark.parametrize(
    ("dtype", "wrong", "message"),
    [
        ("int64", 2**53 + 1, "expected whole numbers in [-9007199254740992, 9007199254740992] (grey value)"),
        ("int64", -(2**53) - 1, "expected whole numbers in [-9007199254740992, 9007199254740992] (grey value)"),
        ("int64", 2**63, "whole numbers nested as [B, 2]"),
        ("int64", 10**30, "whole numbers nested as [B, 2]"),
        ("int32", 2**31, "whole numbers nested as [B, 2]"),
        ("uint8", 256, "whole numbers nested as [B, 2]"),
        ("int64", 1.5, "whole numbers nested as [B, 2]"),
        ("int64", True, "whole numbers nested as [B, 2]"),
    ],
)
def test_whole_numbers_are_exact_or_refused(dtype: str, wrong: float, message: str) -> None:
    of = only(dtype, 2)
    assert read(f"[[7,{2**7}]]", of)["input"].tolist() == [[7, 128]]
    field, said = refusal(lambda: read(json.dumps([[7, 0], [0, wrong]]), of))
    assert field is not None
    assert field.startswith("inputs[1][1]" if wrong != 10**30 else "inputs")
    assert message in said


def test_a_token_outside_its_range_is_named_by_its_place() -> None:
    field, message = refusal(lambda: read('{"ids": [[1, 2], [3, 100]], "level": [[0, 0]]}', SEVERAL))
    assert (field, message) == (
        "inputs.ids[1][1]",
        "expected whole numbers in [0, 99] (token), got 100; 1 of 4 values are outside",
    )


def test_inputs_by_name_come_in_any_order_and_leave_the_contract_s() -> None:
    found = read('{"level": [[0.5, 1]], "mark": [[1, false]], "ids": [[7, 8]]}', SEVERAL)
    assert {name: values.tolist() for name, values in found.items()} == {
        "ids": [[7, 8]], "mark": [[True, False]], "level": [[0.5, 1]],
    }  # fmt: skip
    assert list(found) == ["ids", "mark", "level"]
    assert [values.dtype.name for values in found.values()] == ["int64", "bool", "float32"]
    assert read('{"level": [[0, 1]]}', contract_of(LEVEL))["level"].tolist() == [[0, 1]]  # the only one by name, too


IDS_2 = "[[1, 2], [3, 4]]"


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        (IDS_2, "inputs", "expected each input by its name; there are: ids, mark, level"),
        ('{"ids": [[1, 2]], "words": [[1]]}', "inputs.words", "unknown input; there are: ids, mark, level"),
        ('{"ids": [[1, 2]]}', "inputs.level", "expected this input, too"),
        ('{"level": [[1, 1]]}', "inputs.ids", "expected this input, too"),
        ("{}", "inputs.ids", "expected this input, too"),
        (f'{{"ids": {IDS_2}, "level": [[0, 0]]}}', "inputs.level",
         "expected 2 rows, as many as the other inputs have, got 1"),
        ('{"ids": [[1, 2, 3]], "level": [[0, 0]]}', "inputs.ids[0]", "T = 2 to 16 and a multiple of 2, got 3"),
        (f'{{"ids": [{list(range(18))}]}}', "inputs.ids[0]", "T = 2 to 16 and a multiple of 2, got 18"),
        ('{"ids": [[1, 2]], "mark": [[1, 1, 1, 1]]}', "inputs.mark[0]", "the same T on all its axes, got 2 and 4"),
        ('{"ids": [[1, 2], [3, 4, 5, 6]]}', "inputs.ids[1]",
         "expected 2 here, got 4; the rows of a request have one size, the first is [2]"),
        ('{"ids": [1, 2]}', "inputs.ids", "expected whole numbers nested as [B, T], in another depth"),
        ('{"ids": 7}', "inputs.ids", "in another depth"),
        ('{"ids": {"a": [1]}}', "inputs.ids", "in another depth"),
        ('{"level": [[0, 0, 0]]}', "inputs.level[0]", "expected 2 here, got 3"),
        ('{"level": [[0, 2]]}', "inputs.level[0][1]", "expected values in [0, 1] (m), got 2"),
        ('{"level": [[0, "x"]]}', "inputs.level[0][1]", "expected numbers nested as [B, 2]"),
        ('{"level": []}', "inputs.level", "expected numbers nested as [B, 2], in another depth"),
    ],
)  # fmt: skip
def test_inputs_that_are_not_those_of_the_contract_are_refused(text: str, field: str, message: str) -> None:
    found, said = refusal(lambda: read(text, SEVERAL))
    assert found == field
    assert message in said


def test_so_many_inputs_that_they_would_fill_memory_are_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_inputs, "_by_name", None)
    text = "{" + ",".join(f'"{at}":1' for at in range(2000)) + "}"
    assert refusal(lambda: read(text, SEVERAL)) == (
        "inputs",
        "expected an object with an array for each input, got far more",
    )


def test_booleans_of_any_number_fill_no_memory_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_inputs, "_read_nested", None)
    _, message = refusal(lambda: read("[" + ",".join(["[true,false]"] * 20_000) + "]", only("bool", 2)))
    assert "with 1 to 8 rows (MASKSEMBLES_MAX_ROWS), got more than that" in message
