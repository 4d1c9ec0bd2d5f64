import torch

from models.given import each, rows_of


def test_one_tensor_and_several_are_taken_alike() -> None:
    one, other = torch.arange(6).reshape(3, 2), torch.arange(3)
    assert each(one) == (one,)
    assert each((one, other)) == (one, other)
    assert [found.tolist() for found in rows_of((one, other), slice(1, 3))] == [[[2, 3], [4, 5]], [1, 2]]
    assert [found.tolist() for found in rows_of(one, slice(1))] == [[[0, 1]]]
