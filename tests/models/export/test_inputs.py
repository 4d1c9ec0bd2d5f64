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
    rows = varied_rows(example, value_range)
    assert (rows.shape, rows.dtype) == ((64, 40), dtype)
    assert len(rows.unique(dim=0)) == 64
    assert float(rows.max()) <= (255 if value_range is None else value_range[1])
