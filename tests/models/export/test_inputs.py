from typing import Any

import pytest
import torch
from torch import Tensor

from app.contract.axis import FreeAxis, Padding
from app.contract.tensor import Tensor as ContractTensor
from models.export import ExportOptions, InputOptions
from models.export.inputs import describe_inputs, named_examples, varied_rows


def described(example: Tensor, **fields: Any) -> ContractTensor:
    options = ExportOptions(labels="ab", **fields)
    return describe_inputs(named_examples(example, options), options)[0]


def test_an_example_says_dtype_and_shape() -> None:
    found = described(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), unit="level")
    assert (found.name, found.dtype, found.shape, found.unit) == ("input", "uint8", ("B", 3, 8, 8), "level")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int8])
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"example_input must be float32, uint8, int64, int32, bool, got {dtype}"):
        described(torch.zeros(2, 3, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_whole_numbers_need_a_range(dtype: torch.dtype) -> None:
    ids = torch.zeros(2, 3, dtype=dtype)
    with pytest.raises(ValueError, match="value_range: say the smallest and the largest of these whole numbers"):
        described(ids)
    with pytest.raises(ValueError, match="value_range: expected whole numbers"):
        described(ids, value_range=(0, 9.5))
    with pytest.raises(ValueError, match=r"normalise: int(32|64) goes to the network as it is"):
        described(ids, value_range=(0, 9), normalise=(1, 2))
    assert described(ids, value_range=(0, 9)).range == (0, 9)


def test_features_and_ids_have_names() -> None:
    assert described(torch.zeros(2, 3), features=["x", "y", "z"]).features == ("x", "y", "z")
    with pytest.raises(ValueError, match="features must name each of an input"):
        described(torch.zeros(2, 3), features=["x", "y"])
    ids = torch.zeros(2, 5, dtype=torch.int64)
    assert described(ids, value_range=(0, 2), symbols=["", "a", "b"]).symbols == ("", "a", "b")
    with pytest.raises(ValueError, match="symbols must be as many as there are ids"):
        described(ids, value_range=(0, 9), symbols=["", "a", "b"])


def test_several_inputs_have_their_names_and_order() -> None:
    options = ExportOptions(labels="ab", inputs={"row": InputOptions(unit="m"), "on": InputOptions()})
    examples = named_examples({"on": torch.zeros(2, dtype=torch.bool), "row": torch.zeros(2, 3)}, options)
    row, on = describe_inputs(examples, options)
    assert (row.name, row.dtype, row.shape, row.unit) == ("row", "float32", ("B", 3), "m")
    assert (on.name, on.dtype, on.shape) == ("on", "bool", ("B",))
    with pytest.raises(ValueError, match="example_input: expected a tensor for each of row, on, got one tensor; see"):
        named_examples(torch.zeros(2, 3), options)
    with pytest.raises(ValueError, match="expected a tensor for each of row, on, got row"):
        named_examples({"row": torch.zeros(2, 3)}, options)
    with pytest.raises(ValueError, match="inputs: expected names of letters, digits"):
        named_examples(torch.zeros(2, 3), ExportOptions(labels="ab", inputs={"a.b": InputOptions()}))


def test_ids_and_truth_values_are_drawn_and_marks_are_real_at_first() -> None:
    padding = Padding(fill={"ids": 3}, mark="mask")
    options = ExportOptions(
        labels="ab",
        inputs={
            "ids": InputOptions(shape=("T",), value_range=(3, 7)), "mask": InputOptions(shape=("T",)),
            "on": InputOptions(),
        },
        axes={"T": FreeAxis(least=1, most=50, padding=padding)},
    )  # fmt: skip
    ids, ones = torch.full((2, 30), 4), torch.ones(2, 30)
    examples = {"ids": ids, "mask": ones.int(), "on": ones.bool()}
    inputs = describe_inputs(examples, options)
    assert inputs[1].range == (0, 1)
    rows = varied_rows(tuple(examples.values()), inputs, options.axes)
    assert [one.dtype for one in rows] == [torch.int64, torch.int32, torch.bool]
    assert rows[0].unique().tolist() == [3, 4, 5, 6, 7]
    assert rows[1].unique().tolist() == [0, 1]
    assert (rows[1][:, 0] == 1).all()
    assert not rows[2].all()
    unmarked = {"T": FreeAxis(least=1, most=50, padding=Padding(fill={"ids": 3}))}
    ids = varied_rows(tuple(examples.values()), inputs, unmarked)[0]
    assert ids.unique().tolist() == [4, 5, 6, 7]  # 3 would be padding


@pytest.mark.parametrize(("dtype", "value_range"), [(torch.float32, (0.0, 0.5)), (torch.uint8, None)])
def test_rows_to_try_differ_and_stay_in_range(dtype: torch.dtype, value_range: tuple[float, float] | None) -> None:
    example = torch.full((2, 40), 250 if dtype == torch.uint8 else 0.45, dtype=torch.float32).to(dtype)
    (rows,) = varied_rows((example,), [described(example, value_range=value_range)], {})
    assert (rows.shape, rows.dtype) == ((64, 40), dtype)
    assert len(rows.unique(dim=0)) == 64
    assert float(rows.max()) <= (255 if value_range is None else value_range[1])


def test_channels_may_have_a_range_each() -> None:
    example = torch.tensor([1.0, 1000.0]).reshape(1, 2, 1).expand(1, 2, 40)
    given = described(example, value_range=[(-1, 1.05), (900, 1100)])
    assert given.channel_ranges == ((-1, 1.05), (900, 1100))
    assert given.range == (-1, 1100)
    (rows,) = varied_rows((example,), [given], {})
    assert rows[:, 0].max() == torch.tensor(1.05)
    assert (rows[:, 1].min(), rows[:, 1].max()) == (900, 1100)


def test_there_is_a_range_for_every_channel_or_one_for_all() -> None:
    with pytest.raises(ValueError, match="value_range: expected one pair, or one for each of 3 channels, got 2"):
        described(torch.zeros(2, 3, 8), value_range=[(0, 1), (0, 2)])
