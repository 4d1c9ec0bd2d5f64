"""Which rows share a batch, and how rows of several sizes become one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.axis import FreeAxis, Padding
from app.contract.schema import Contract
from app.contract.tensor import Tensor
from app.engine.row_shapes import Feeds, RowShapes, buckets, row_of, sizes_to_try
from tests.app.engine.fakes import CONTRACT, FREE


def tensor(name: str, *shape: int | str, dtype: str = "float32", **more: Any) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=("B", *shape), unit="", **more)


TOKENS = FreeAxis(least=4, most=20, padding=Padding(fill={"ids": 9}, mark="mark"))
TEXTS = CONTRACT.model_copy(
    update={
        "inputs": (
            tensor("ids", "T", dtype="int64", range=(3, 99)),
            tensor("mark", "T", dtype="bool"),
            tensor("picture", 1, "H"),
        ),
        "axes": {"T": TOKENS, "H": FreeAxis(least=2, most=64)},
    }
)


def request(length: int, height: int = 2, rows: int = 1, value: int = 5) -> Feeds:
    return {
        "ids": np.full((rows, length), value),
        "mark": np.ones((rows, length), bool),
        "picture": np.full((rows, 1, height), value, np.float32),
    }


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [(4, 20, (4, 8, 16, 20)), (1, 8, (1, 2, 4, 8)), (3, 3, (3,)), (5, 6, (5, 6)), (1, 1, (1,))],
)
def test_a_padded_axis_has_few_sizes_each_twice_the_one_before(
    least: int, most: int, expected: tuple[int, ...]
) -> None:
    assert buckets(FreeAxis(least=least, most=most)) == expected


def test_rows_share_a_batch_if_they_agree_in_what_is_not_padded() -> None:
    shapes = RowShapes(TEXTS)
    assert shapes.shared(request(4, 6)) == shapes.shared(request(9, 6)) == (6,)
    assert shapes.shared(request(4, 8)) == (8,)
    assert RowShapes(CONTRACT).shared({"input": np.zeros((1, 2))}) == ()


def test_rows_are_padded_to_the_bucket_of_the_longest_with_what_the_contract_says() -> None:
    found = RowShapes(TEXTS).join([request(5), request(7, value=6, rows=2)])
    assert found["ids"].tolist() == [[5] * 5 + [9] * 3, *[[6] * 7 + [9]] * 2]
    assert found["mark"].tolist() == [[True] * 5 + [False] * 3, *[[True] * 7 + [False]] * 2]
    assert found["picture"].tolist() == [[[5, 5]], [[6, 6]], [[6, 6]]]
    assert [values.dtype.name for values in found.values()] == ["int64", "bool", "float32"]
    assert RowShapes(TEXTS).join([request(17)])["ids"].shape == (1, 20)


def test_rows_that_need_no_padding_are_passed_on_as_they_are() -> None:
    whole = request(8)
    assert all(values is whole[name] for name, values in RowShapes(TEXTS).join([whole]).items())


def test_two_padded_axes_are_filled_each_on_its_own() -> None:
    contract = CONTRACT.model_copy(
        update={
            "inputs": (tensor("x", "T", "S"), tensor("y", "S")),
            "axes": {
                "T": FreeAxis(least=2, most=4, padding=Padding(fill={"x": 1})),
                "S": FreeAxis(least=2, most=8, padding=Padding(fill={"y": 7})),
            },
        }
    )
    parts: list[Feeds] = [
        {"x": np.full((1, 3, 2), 5, np.float32), "y": np.full((1, 2), 5, np.float32)},
        {"x": np.full((1, 2, 3), 6, np.float32), "y": np.full((1, 3), 6, np.float32)},
    ]
    found = RowShapes(contract).join(parts)
    assert found["x"].shape == (2, 4, 4)
    assert found["x"][0].tolist() == [[5, 5, 0, 0]] * 3 + [[1, 1, 0, 0]]
    assert found["y"].tolist() == [[5, 5, 7, 7], [6, 6, 6, 7]]


@pytest.mark.parametrize("large_bytes", [2**20, 0])  # copied in one piece, or by NumPy
def test_rows_are_joined_in_order(monkeypatch: pytest.MonkeyPatch, large_bytes: int) -> None:
    monkeypatch.setattr("app.engine.row_shapes._LARGE_BYTES", large_bytes)
    parts: list[Feeds] = [{"input": np.full((rows, 3), rows, np.float32)} for rows in (2, 1, 3)]
    found = RowShapes(FREE).join(parts)["input"]
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == [2, 2, 1, 3, 3, 3]


@given(st.lists(st.tuples(st.integers(4, 20), st.integers(1, 3)), min_size=1, max_size=5))
def test_whatever_is_joined_nothing_real_is_lost(requests: list[tuple[int, int]]) -> None:
    parts = [request(length, rows=rows, value=at + 10) for at, (length, rows) in enumerate(requests)]
    found = RowShapes(TEXTS).join(parts)
    size = next(size for size in (4, 8, 16, 20) if size >= max(length for length, _ in requests))
    assert found["ids"].shape == found["mark"].shape == (sum(rows for _, rows in requests), size)
    expected = [[at + 10] * length for at, (length, rows) in enumerate(requests) for _ in range(rows)]
    real = [ids[mark].tolist() for ids, mark in zip(found["ids"], found["mark"])]
    assert real == expected
    assert (found["ids"][~found["mark"]] == 9).all()


def test_the_values_of_a_row_are_those_that_it_has_in_its_batch() -> None:
    shapes = RowShapes(TEXTS)
    assert shapes.row_values(request(4, 6)) == 4 + 4 + 6
    assert shapes.row_values(request(9, 6)) == 16 + 16 + 6
    assert RowShapes(FREE).row_values({"input": np.zeros((5, 7))}) == 7


def test_a_row_to_try_is_a_valid_one() -> None:
    row = row_of(TEXTS, {"T": 8, "H": 3})
    assert {name: (values.dtype.name, values.shape) for name, values in row.items()} == {
        "ids": ("int64", (1, 8)), "mark": ("bool", (1, 8)), "picture": ("float32", (1, 1, 3)),
    }  # fmt: skip
    assert (row["ids"].min(), row["mark"].all(), row["picture"].max()) == (3, True, 0)


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (CONTRACT, [{}]),
        (FREE, [{"T": 1}, {"T": 1000}]),
        (TEXTS, [{"T": 4, "H": 2}, {"T": 8, "H": 2}, {"T": 16, "H": 2}, {"T": 20, "H": 2}, {"T": 20, "H": 64}]),
    ],
)
def test_every_size_of_a_batch_is_tried(contract: Contract, expected: list[dict[str, int]]) -> None:
    assert sizes_to_try(contract) == expected
