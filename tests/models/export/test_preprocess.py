import pytest
import torch

from models.export.preprocess import Preprocess, preprocess_each


def test_bytes_become_shares_before_they_are_normalised() -> None:
    pixels = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    found = Preprocess((0.2, 0.4), pixels.shape)(pixels)
    torch.testing.assert_close(found, torch.tensor([[-0.5, 0.0, 2.0]]))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 7), (5, 3, 4, 4), (5, 3, 2, 4, 4)])
def test_means_and_deviations_follow_axis_1(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape)
    found = Preprocess(([0.1, 0.2, 0.3], [1.0, 2.0, 4.0]), shape)(x)
    for channel, (mean, std) in enumerate(((0.1, 1.0), (0.2, 2.0), (0.3, 4.0))):
        torch.testing.assert_close(found[:, channel], (x[:, channel] - mean) / std)


def test_nothing_to_do_leaves_values_alone() -> None:
    x = torch.rand(2, 3)
    assert Preprocess(None, x.shape)(x) is x


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="expected 1 or 3 values for the std, got 2"):
        Preprocess((0.0, [1.0, 2.0]), (5, 3))
    with pytest.raises(ValueError, match="standard deviation must be positive"):
        Preprocess((0.0, 0.0), (5, 3))


def test_ids_and_truth_values_stay_as_they_are() -> None:
    ids, on, pixels = torch.tensor([[3, 4]]), torch.tensor([True]), torch.tensor([[0, 255]], dtype=torch.uint8)
    step = preprocess_each([None, None, (0.5, 0.5)], [ids.shape, on.shape, pixels.shape])
    found = step(ids, on, pixels)
    assert torch.equal(found[0], ids)
    assert torch.equal(found[1], on)
    assert found[2].tolist() == [[-1, 1]]


def test_a_number_a_row_has_one_mean() -> None:
    step = preprocess_each([(1.0, 2.0)], [(1,)])
    assert step(torch.tensor([3.0, 5.0])).tolist() == [1, 2]
    with pytest.raises(ValueError, match="normalise: expected 1 or 1 values for the mean, got 2"):
        preprocess_each([((1.0, 2.0), 1.0)], [(1,)])
