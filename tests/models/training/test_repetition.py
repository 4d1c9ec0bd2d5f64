import pytest
import torch
from torch import nn

from models.layers import submodels
from models.networks.cnn import cnn
from models.networks.resnet import resnet
from models.training.repetition import mean_prediction, repeated


@pytest.mark.parametrize("first_mask", [0, 1, 2])
def test_every_row_meets_every_submodel_and_the_trunk_once(first_mask: int) -> None:
    network = cnn((1, 8, 8), 3, submodels=4, widths=(4, 16, 16, 16), align=1, first_mask=first_mask).eval()
    rows, seen = torch.rand(5, 1, 8, 8), list[int]()
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        layer.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    expected = submodels(network, rows).flatten(0, 1)
    seen.clear()
    for _ in range(2):  # nothing of the first call is left
        torch.testing.assert_close(repeated(network, rows), expected)
    assert seen[:3] == seen[3:] == [5, 5, 5 if first_mask else 20]


def test_gradients_are_those_of_all_submodels() -> None:
    network = cnn((1, 8, 8), 3, submodels=2, widths=(4, 16, 16, 16), align=1).eval()
    rows = torch.rand(4, 1, 8, 8)
    repeated(network, rows).square().mean().backward()
    found = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    network.zero_grad()
    submodels(network, rows).square().mean().backward()
    for one, parameter in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad)


def test_networks_that_rows_cannot_be_repeated_in_are_told() -> None:
    with pytest.raises(ValueError, match="repeat: expected a network with masks"):
        repeated(nn.Linear(2, 2), torch.rand(3, 2))
    with pytest.raises(RuntimeError, match="size"):
        repeated(resnet((3, 32, 32), 3), torch.rand(3, 3, 32, 32))


def test_the_mean_prediction_is_that_of_probabilities() -> None:
    answers = torch.randn(3 * 5, 4, 2, dtype=torch.float64)
    expected = answers.softmax(1).reshape(3, 5, 4, 2).mean(0).log()
    torch.testing.assert_close(mean_prediction(answers, 3), expected)
