import pytest
import torch

from models.export import ExportOptions
from models.export.inputs import describe_input, varied_rows


def test_an_example_says_dtype_and_shape() -> None:
    described = describe_input(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), ExportOptions(labels="ab", unit="level"))
    assert (described.dtype, described.shape, described.unit) == ("uint8", ("B", 3, 8, 8), "level")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"example_input must be float32 or uint8, got {dtype}"):
        describe_input(torch.zeros(2, 3, dtype=dtype), ExportOptions(labels="ab"))


@pytest.mark.parametrize(("dtype", "value_range"), [(torch.float32, (0.0, 0.5)), (torch.uint8, None)])
def test_rows_to_try_differ_and_stay_in_range(dtype: torch.dtype, value_range: tuple[float, float] | None) -> None:
    example = torch.full((2, 40), 250 if dtype == torch.uint8 else 0.45, dtype=torch.float32).to(dtype)
    rows = varied_rows(example, describe_input(example, ExportOptions(labels="ab", value_range=value_range)))
    assert (rows.shape, rows.dtype) == ((64, 40), dtype)
    assert len(rows.unique(dim=0)) == 64
    assert float(rows.max()) <= (255 if value_range is None else value_range[1])


def test_channels_may_have_a_range_each() -> None:
    example = torch.tensor([1.0, 1000.0]).reshape(1, 2, 1).expand(1, 2, 40)
    given = describe_input(example, ExportOptions(labels="ab", value_range=[(-1, 1.05), (900, 1100)]))
    assert given.channel_ranges == ((-1, 1.05), (900, 1100))
    assert given.range == (-1, 1100)
    rows = varied_rows(example, given)
    assert rows[:, 0].max() == torch.tensor(1.05)
    assert (rows[:, 1].min(), rows[:, 1].max()) == (900, 1100)


def test_there_is_a_range_for_every_channel_or_one_for_all() -> None:
    with pytest.raises(ValueError, match="value_range: expected one pair, or one for each of 3 channels, got 2"):
        describe_input(torch.zeros(2, 3, 8), ExportOptions(labels="ab", value_range=[(0, 1), (0, 2)]))
