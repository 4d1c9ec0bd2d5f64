"""What is accepted as numbers is what JSON and the shape say, however the text is read."""

import json
from importlib.util import find_spec
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.api import json_arrays
from app.api.predict import content_types
from app.api.predict.input_rows import InputRows
from app.api.predict.params import PredictParams
from app.contract.schema import Contract, numbers
from app.errors import InvalidInput, MalformedBody
from tests.app.api.predict.reading import only

MOST = 5
CONTRACTS: list[Contract] = [
    only("float32", 2),
    only("float32", 2, range=(0.0, 1.0)),
    only("float32", 1, 2),
    only("float32"),
    *(only(dtype, 2) for dtype in ("uint8", "int32", "int64", "bool")),
]
WAYS = [(2**17, True), (16, True), (3, True), (2**17, False)]
"""The longest text that is read at once, and whether simdjson reads it."""


def accepted(text: str, of: Contract, most: int = MOST) -> NDArray[Any] | None:
    """What the service reads, or None where it refuses."""
    body, rows = b'{"inputs":' + text.encode() + b"}", InputRows(of, most)
    try:
        read_json(body)[1](rows)
        return rows.whole()[of.given.name]
    except (InvalidInput, MalformedBody):
        return None


def read_json(body: bytes) -> tuple[PredictParams, content_types.Inputs]:
    return content_types.read(content_types.JSON, content_types.JSON, body, b"", (MOST, len(body)))


def expected(text: str, of: Contract) -> NDArray[Any] | None:
    """The same by Python's json and a look at every value."""
    tensor = of.inputs[0]
    try:
        nested = json.loads('{"inputs":' + text + "}")["inputs"]
    except ValueError:
        return None
    if not is_nested(nested, numbers(tensor.shape), tensor.dtype == "bool") or not 1 <= len(nested) <= MOST:
        return None
    leaves = nested
    for _ in tensor.shape[1:]:
        leaves = [leaf for part in leaves for leaf in part]
    low, high = tensor.limits
    if tensor.dtype != "float32":
        if not all(isinstance(leaf, int) and low <= leaf <= high for leaf in leaves):
            return None
        return np.array(nested, tensor.dtype)
    try:
        values = np.array([float(leaf) for leaf in leaves])
    except OverflowError:
        return None
    with np.errstate(over="ignore"):
        array = values.astype(np.float32)
    if not np.isfinite(array).all() or values.min() < low or values.max() > high:
        return None
    return array.reshape(len(nested), *(size for size in tensor.shape[1:] if isinstance(size, int)))


def is_nested(value: Any, sizes: tuple[int | None, ...], words: bool) -> bool:
    if not sizes:
        return isinstance(value, int | float) and (words or not isinstance(value, bool))
    fits = isinstance(value, list) and sizes[0] in (None, len(value))
    return fits and all(is_nested(part, sizes[1:], words) for part in value)


def check(text: str) -> None:
    for of, (piece, fast) in product(CONTRACTS, WAYS):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_arrays, "_PIECE", piece)
            if not fast:
                patch.setattr(json_arrays, "simdjson", None)
            found = accepted(text, of)
        wanted = expected(text, of)
        assert (found is None) == (wanted is None), (text, of.inputs, piece, fast)
        if found is not None and wanted is not None:
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_array_equal(found, wanted)


WORDS = ["true", "false"]
NUMBER = st.one_of(
    st.sampled_from(
        [
            "0",
            "1",
            "-0",
            "0.5",
            "1E0",
            "255",
            "256",
            "-1",
            "1e-3",
            "0.1",
            "3.4028235e38",
            "1e400",
            "1.0",
            "true",
            "false",
        ]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(0, 1).map(repr),
)
SEPARATOR = st.sampled_from([",", ", ", " ,", ",\n\t"])


@st.composite
def arrays(draw: st.DrawFn) -> str:
    """An array of the form of one of the contracts, or nearly so."""
    form = draw(st.sampled_from(["{}", "[{},{}]", "[[{},{}]]", "[ {} , {} ]", "[{}]", "[{},{},{}]"]))
    count = draw(st.integers(1, MOST + 1))
    rows = [form.format(*(draw(NUMBER) for _ in range(form.count("{}")))) for _ in range(count)]
    return "[" + draw(SEPARATOR).join(rows) + "]"


MUTATION = st.tuples(st.integers(0, 2**16), st.integers(0, 1), st.sampled_from(["", *"[],0123456789.eE+- tf"]))


@settings(max_examples=300)
@given(arrays(), st.lists(MUTATION, max_size=3))
def test_what_is_accepted_is_what_json_and_the_shape_say(text: str, mutations: list[tuple[int, int, str]]) -> None:
    for place, removed, added in mutations:
        at = place % (len(text) + 1)
        text = text[:at] + added + text[at + removed :]
    check(text)


@pytest.mark.parametrize(
    ("dtype", "range_"), [("float32", None), ("float32", (0.0, 1.0)), ("uint8", (0, 9)), ("bool", None)]
)
def test_values_that_are_what_is_declared_are_not_copied(dtype: str, range_: tuple[float, float] | None) -> None:
    tensor = only(dtype, 2, range=range_).given
    values = np.array([[0, 1], [1, 0]], dtype)
    assert json_arrays.check(values, tensor, "inputs") is values
    for other in (values.astype(np.float64), np.asfortranarray(values), values[::-1]):
        found = json_arrays.check(other, tensor, "inputs")
        assert found.flags.c_contiguous
        assert (found.dtype, found.tolist()) == (values.dtype, other.tolist())


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1.5, -0.5])
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 0)])
def test_one_wrong_value_among_those_declared_is_named(wrong: float, place: tuple[int, int]) -> None:
    values = np.full((3, 2), 0.5, np.float32)
    values[place] = wrong
    for range_ in ((0.0, 1.0), None):
        if range_ is None and np.isfinite(wrong):
            continue
        with pytest.raises(InvalidInput) as refused:
            json_arrays.check(values, only("float32", 2, range=range_).given, "inputs")
        assert refused.value.field == f"inputs[{place[0]}][{place[1]}]"


@settings(max_examples=200)
@given(st.text(alphabet="[],01.eE+- ", max_size=12))
def test_a_few_characters_in_any_order(text: str) -> None:
    check(text)
    check(f"[[{text},1]]")
    check(f"[[0,1],[0.25{text},1],[1,1]]")


@pytest.mark.parametrize(
    "text",
    [
        "[[0,1]", "[0,1]]", "[[0,1],]", "[[0,,1]]", "[[0 1]]", "[[0,1][1,0]]", "[[0,1],,[1,0]]", "[[0],[1]]",
        "[[01,1]]", "[[1.,1]]", "[[.5,1]]", "[[-,1]]", "[[+1,1]]", "[[1e,1]]", "[[1e+,1]]", "[[- 1,1]]", "[[1 .5,1]]",
        "[[1,2]]]", "[[[1,2]]", "[1,[2]]", "[[1],2]", "[[1,2],[3]]", "[],[]", "[[],[]]", "[[0,1]],[[0,1]]", "", " ",
        "[[0,0e999999999999]]", "[[0,1e-999999999999]]", "[[0,1e999999999999]]", f"[[0,{'9' * 400}]]",
        f"[[0,{'9' * 400}e-390]]", f"[[0,0.{'0' * 400}1e400]]", "[[0,18446744073709551616]]",
        "[[0,9223372036854775808]]", "[[0,-9223372036854775809]]", "[[0,3.4028235677973362e38]]",
        "[[0,3.4028235677973366e38]]", "[[0,9007199254740992]]", "[[0,9007199254740993]]", "[[0,-9007199254740993]]",
        "[[0,2147483648]]", "[[true,false]]", "[[true,1]]", "[[truefalse,1]]", "[[true1,1]]", "[[0,tru]]", "[[0,null]]",
        "[[0,1.00000000000000001]]", "[[0,-1e-400]]", "[[0,1.0]]", "[[0,1e2]]",
    ],
)  # fmt: skip
def test_hard_cases(text: str) -> None:
    check(text)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64"])
def test_a_long_text_is_read_as_json_reads_it(dtype: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((3000, 2, 8)) if dtype == "float64" else rng.integers(0, 2**40, (3000, 2, 8), dtype)
    text = json.dumps(values.tolist(), indent=1 if dtype == "int64" else None).encode()
    assert len(text) > 3 * json_arrays._PIECE
    found = json_arrays.read_all(memoryview(text), values.dtype, values.size)
    if find_spec("simdjson") is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, np.array(json.loads(text)).ravel())
    assert json_arrays.brackets_of(memoryview(text)) == json_arrays.brackets((3000, 2, 8))


@pytest.mark.parametrize("place", [0, 1, 2999, 3000, 5998, 5999])
@pytest.mark.parametrize("wrong", ["1,0", "", "[1]", "1 1", "-", "true", "1e400"])
def test_one_wrong_number_in_a_long_text_is_found(place: int, wrong: str) -> None:
    of = only("float32", 2, range=(0.0, 1.0))
    rows = ["[0.0123456789012345,0.0123456789012345]"] * 6000
    rows[place] = f"[0.5,{wrong}]"
    text = "[" + ",".join(rows) + "]"
    assert len(text) > json_arrays._PIECE
    assert accepted(text, of, 6000) is None


def test_the_kind_of_all_numbers_is_what_was_asked_for() -> None:
    for text, dtype in (
        (b"[1,1.5]", "int64"), (b"[1,-1]", "uint64"), (b"[9223372036854775808,1]", "int64"), (b"[1,true]", "float64")
    ):  # fmt: skip
        assert json_arrays.read_all(text, np.dtype(dtype), 2) is None
        assert json_arrays.read_all(memoryview(text), np.dtype(dtype), 2) is None


@pytest.mark.parametrize(
    ("shape", "text"),
    [((), b""), ((3,), b"[,,]"), ((1,), b"[]"), ((2, 1), b"[[],[]]"), ((1, 2, 2), b"[[[,],[,]]]"), ((0,), b"[]")],
)
def test_brackets(shape: tuple[int, ...], text: bytes) -> None:
    assert json_arrays.brackets(shape) == text
    filled = json.dumps(np.zeros(shape).tolist()).encode()
    assert json_arrays.brackets_of(memoryview(filled)) == text


@pytest.mark.parametrize("dtype", ["f2", ">f2", "f4", "f8", "g"])
def test_values_of_any_precision_are_held_against_the_range_itself(dtype: str) -> None:
    tensor = only("float32", 2, range=(-1e5, 1e5)).given
    assert json_arrays.check(np.array([[1, 60_000]], dtype), tensor, "inputs").tolist() == [[1, 60_000]]
    tensor = only("float32", 2, range=(1e-8, 1.0)).given
    with pytest.raises(InvalidInput, match="got 0; 1 of 2 values are outside") as refused:
        json_arrays.check(np.array([[0.5, 0]], dtype), tensor, "inputs")
    assert refused.value.field == "inputs[0][1]"


@settings(max_examples=200)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_sizes_are_read_from_brackets(sizes: list[int]) -> None:
    assert json_arrays.sizes_of(json_arrays.brackets(tuple(sizes)), len(sizes)) == tuple(sizes)
    assert json_arrays.sizes_of(json_arrays.brackets(tuple(sizes)), len(sizes) + 1) is None
    assert json_arrays.sizes_of(b"[" + json_arrays.brackets(tuple(sizes)) + b"]", len(sizes)) is None


@pytest.mark.parametrize("text", [b"", b"[", b"[[", b"]", b"[[]", b"[[,,", b"{}", b"null"])
def test_what_is_cut_off_or_no_array_has_no_sizes(text: bytes) -> None:
    assert json_arrays.sizes_of(text, 2) is None


BODIES = [
    '{"inputs":[[1,2]]}', ' {"model":"a", "inputs" : [ [1, 2] ], "id" : "]}" } ',
    '{"inputs":[[1,2]],"outputs":["inputs"]}', '{"outputs":["inputs"],"inputs":[[1,2]]}',
    '{"id":"\\"inputs","inputs":[[1,2]]}', '{"id":"\\"inputs\\":[1]","inputs":[[1,2]]}', '{"inputs":{"input":[[1,2]]}}',
    # the last one counts, as everywhere
    '{"inputs":[[1,2]],"inputs":[[3,4]]}', '{"inputs":[[1,,2]],"inputs":[[3,4]]}', '{"inputs":3,"inputs":[[3,4]]}',
    '{"\\u0069nputs":[[1,2]],"inputs":[[3,4]]}', '{"inputs":[[1,2]],"\\u0069nputs":[[3,4]]}',
    '{"inputs":[[1,2]],"inputs":3}', '{"inputs":[[1,2]],"inputs":null}',
    # these are refused
    "", "[]", '"inputs"', '{"inputs"}', '{"inputs":[', '{"inputs":[[1,2]', '{"inputs":[[1,2]}', '{"inputs":[[1,2]]]}',
    '{"inputs":[[1,2]],}', '{"inputs":[[1,2]] 3}', '{"inputs":[[1,2]]}3', '{"inputs":[[1,2]]', '{"inputs":[[1,NaN]]}',
    '{"inputs":[[1,-Infinity]],"id":"x"}', '{"inputs":[[1,02]]}', '{"inputs":[["1",2]]}', '{"inputs":[[1,{"a":2}]]}',
    '{"inputs":[[1,2]],"version":0}', '{"inputs":[[1,2]],"more":1}', '[{"inputs":[[1,2]]}]',
    '{"id":{"inputs":[[1,2]]}}', '{"inputs":["inputs"]}',
    '{"inputs":[[1,2],[3]]}', '{"inputs":[[1,2]],"model":"\x00"}', '\ufeff{"inputs":[[1,2]]}',
    '{"inputs":\x0b[[1,2]]}', '{"inputs":[[1,2]]\x0c}', '{"inputs"::[[1,2]]}',
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_what_is_cut_out_unread_changes_no_answer(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome() -> object:
        rows = InputRows(only("float32", 2), MOST)
        try:
            asked, read = read_json(body.encode())
            read(rows)
        except (InvalidInput, MalformedBody) as error:
            return type(error), error.message, error.field
        return [getattr(asked, name) for name in content_types.QUERY], rows.whole()["input"].tolist()

    quickly = outcome()
    monkeypatch.setattr(json_arrays, "cut", lambda text, name: None)
    assert quickly == outcome()


def test_the_numbers_are_cut_out() -> None:
    body = b'{"model": "a", "inputs": [[1, 2], [3, 4]], "id": "x"}'
    found = json_arrays.cut(body, b"inputs")
    assert found is not None
    rest, array = found
    assert json.loads(rest) == {"model": "a", "inputs": json.loads(json_arrays.MARK), "id": "x"}
    assert bytes(array) == b"[[1, 2], [3, 4]]"
