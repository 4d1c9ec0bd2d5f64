import pytest
import torch
from torch import Tensor

from models.export.trace import trace
from models.layers import layers, submodels
from models.networks.char_cnn import char_cnn

LONGEST = 32


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return char_cnn((LONGEST,), 7, submodels=3, ids=20).eval()


def words(length: int, rows: int = 5) -> Tensor:
    return torch.randint(1, 20, (rows, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("length", [1, 2, 7, LONGEST])
def test_padding_changes_nothing(network: torch.nn.Module, length: int) -> None:
    rows = words(length)
    with torch.no_grad():
        plain = submodels(network, rows)
        for more in (1, 2, LONGEST):
            padded = submodels(network, torch.nn.functional.pad(rows, (0, more)))
            torch.testing.assert_close(padded, plain, rtol=0, atol=1e-6)


def test_a_word_beside_a_longer_one_is_answered_as_alone(network: torch.nn.Module) -> None:
    long = words(12, rows=2)
    long[1, 4:] = 0
    with torch.no_grad():
        alone = submodels(network, long[1:, :4])
        torch.testing.assert_close(submodels(network, long)[:, 1:], alone, rtol=0, atol=1e-6)


def test_letters_and_their_order_matter(network: torch.nn.Module) -> None:
    with torch.no_grad():
        one, turned, longer = (network_logits(network, row) for row in ([[3, 4, 5]], [[5, 4, 3]], [[3, 4, 5, 3]]))
    assert (one - turned).abs().max() > 1e-4
    assert (one - longer).abs().max() > 1e-4


def network_logits(network: torch.nn.Module, ids: list[list[int]]) -> Tensor:
    return submodels(network, torch.tensor(ids))


def test_a_row_of_padding_alone_gives_numbers(network: torch.nn.Module) -> None:
    with torch.no_grad():
        assert submodels(network, torch.zeros(2, 4, dtype=torch.long)).isfinite().all()


def test_all_submodels_share_the_first_convolution(network: torch.nn.Module) -> None:
    assert list(layers(network)) == ["masks.1", "masks.2", "head.2"]


def test_it_is_traced_for_every_length(network: torch.nn.Module) -> None:
    masks = {name: layer.masks.float() for name, layer in layers(network).items()}
    graph = trace(network, words(5), [{1: torch.export.Dim("T", min=1, max=LONGEST)}])
    assert sum("mark" in str(node.target) for node in graph.graph.nodes) == len(masks)
    for length in (1, 2, LONGEST):
        assert graph(words(length)).shape == (5, 7)


def test_what_it_does_not_take_is_named() -> None:
    with pytest.raises(ValueError, match=r"char_cnn takes ids \[T\], not \[1, 28, 28\]"):
        char_cnn((1, 28, 28), 7)
    with pytest.raises(ValueError, match="kernel must be odd, got 4"):
        char_cnn((5,), 7, kernel=4)
