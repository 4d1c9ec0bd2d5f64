"""Both ways to read numbers read the same, and the fast one never reads what the other refuses."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api import json_arrays
from app.api.predict import params
from app.contract.tensor import Tensor
from app.errors import InvalidInput
from tests.app.engine.fakes import CONTRACT


def contract(shape: tuple[int, ...], dtype: str = "float32", limits: tuple[float, float] | None = None) -> Any:
    tensor = Tensor(name="input", dtype=dtype, shape=("B", *shape), unit="grey value", range=limits)
    return CONTRACT.model_copy(update={"inputs": (tensor,)})


UNIT = contract((2, 3), limits=(0.0, 1.0))


def both(text: str, of: Any = UNIT, most: int = 8) -> tuple[np.ndarray | None, np.ndarray | str]:
    """What the fast way gives, and the other or the field that it complains of."""
    given, form = of.inputs[0], params._form(of.inputs[0])
    fast = params._read_numbers(text.encode(), json_arrays.brackets_of(text.encode()), given, form, most)
    try:
        return fast, params._read_nested(msgspec.Raw(text.encode()), given, form, most)
    except InvalidInput as error:
        return fast, str(error.field)


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("[[[0,0.5,1],[1e-3,1E0,0.25]]]", UNIT),
        (" [ [ [0,\t0.5,1],\n[0.1,0.2,0.3]],[[1,1,1],[0,0,0]]]\r\n", UNIT),
        ("[[1e-400,-0.0,3.4e38]]", contract((3,))),
        ("[[0,255]]", contract((2,), "uint8")),
        ("[[[[7]]]]", contract((1, 1, 1))),
        ("[0.5,0.25]", contract(())),
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
    fast, nested = both(text, contract((2,), "uint8"))
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
    for of in (UNIT, contract((2,)), contract((2,), "uint8"), contract((1, 1))):
        fast, nested = both(json.dumps(value), of)
        if fast is not None:
            np.testing.assert_array_equal(fast, nested)


def test_without_the_fast_way_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = msgspec.Raw(b"[[[0,0.5,1],[0.001,1,0.25]]]")
    fast = params.read_inputs(text, UNIT, 8)
    monkeypatch.setattr("app.api.json_arrays.simdjson", None)
    np.testing.assert_array_equal(params.read_inputs(text, UNIT, 8), fast)


def test_every_channel_is_held_against_its_own_range() -> None:
    (given,) = contract((2, 3), limits=(0.0, 1000.0)).inputs
    given = Tensor(**{**given.model_dump(), "channel_ranges": ((0.0, 1.0), (900.0, 1000.0))})
    of = CONTRACT.model_copy(update={"inputs": (given,)})
    fast, nested = both("[[[0,0.5,1],[900,950,1000]]]", of)
    np.testing.assert_array_equal(fast, nested)
    assert both("[[[0,0.5,1],[900,950,1000]],[[0,0.5,2],[900,950,1000]]]", of) == (None, "inputs[1][0][2]")
    assert both("[[[0,0.5,1],[900,899,1000]]]", of) == (None, "inputs[0][1][1]")
    with pytest.raises(InvalidInput, match=r"expected values in \[900, 1000\] \(grey value\), got 899; 1 of 6"):
        params.read_inputs(msgspec.Raw(b"[[[0,0.5,1],[900,899,1000]]]"), of, 8)
