import torch

from models.given import each, rows_of


def test_one_tensor_is_several_of_which_there_is_one() -> None:
    x, y = torch.zeros(3, 2), torch.ones(3)
    assert each(x) == (x,)
    assert each((x, y)) == (x, y)


def test_rows_are_taken_of_each() -> None:
    x, y = torch.arange(6).reshape(3, 2), torch.arange(3)
    first, second = rows_of((x, y), slice(1, 3))
    assert (first.tolist(), second.tolist()) == ([[2, 3], [4, 5]], [1, 2])
    assert rows_of(x, slice(1))[0].tolist() == [[0, 1]]
