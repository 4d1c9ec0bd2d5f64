"""Every plan of networks with axes of free size, at several sizes of rows and batches."""

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from models.layers import Masksembles1d, Masksembles2d
from models.networks.unet import unet
from tests.models.export.plans_agree import plans, share
from tests.models.export.test_axes import Attentive, Convolutional, Signals, Skipping
from tests.models.export.test_tokens import Attention, Block, OfTorch, ours

H, W, T = 4 * Dim("_H", min=1, max=16), 4 * Dim("_W", min=1, max=16), Dim("T", min=2, max=40)
MAPS = {2: H, 3: W}


class Encoder(nn.Module):
    """[B, T] ids → [B, 3]: masks over the tokens' features, positions that depend on T, and a token of no word."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.embed, self.mask = nn.Embedding(20, 8), ours(8)
        self.positions, self.token = nn.Parameter(torch.randn(41, 8)), nn.Parameter(torch.randn(1, 1, 8))
        self.block, self.last = Block(attention, ours(32)), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.mask(self.embed(ids) + self.positions[: ids.shape[1]])
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.block(x + self.positions[: x.shape[1]])
        return self.last(x[:, 0] + x.sum(dim=1) / x.shape[1])


class Characters(nn.Module):
    """[B, T] ids → [B, 3]: convolutions over the characters' embeddings, padding ids hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mask = nn.Embedding(20, 16), Masksembles1d(16, 3, 2.0, align=1)
        self.first, self.second = nn.Conv1d(16, 24, 3, padding=1), nn.Conv1d(24, 24, 5, padding=2)
        self.other, self.last = Masksembles1d(24, 3, 2.0, seed=1, align=1), nn.Linear(48, 3)

    def forward(self, ids: Tensor) -> Tensor:
        real = (ids != 0).unsqueeze(1)
        x = self.first(self.mask(self.embed(ids).transpose(1, 2))).relu()
        x = self.other(self.second(x).relu() * real)
        mean = x.sum(dim=2) / real.sum(dim=2).clamp(min=1)
        return self.last(torch.cat([mean, x.masked_fill(~real, 0).amax(dim=2)], dim=1))


def test_a_unet_of_any_height_and_width() -> None:
    torch.manual_seed(0)
    rows = torch.rand(7, 2, 8, 12)
    others = [torch.rand(7, 2, 4, 4), torch.rand(7, 2, 12, 8)]
    found = plans(unet((2, 8, 8), 3, submodels=3, channels=4, depth=2, align=1), rows, free=MAPS, others=others)
    assert set(found) == {"folded", "branches", "grouped"}
    assert share(found, "branches", rows) < 0.5


@pytest.mark.parametrize("network", [Convolutional, Skipping])
def test_maps_of_any_size(network: type[nn.Module]) -> None:
    others = [torch.rand(7, 1, 8, 8), torch.rand(7, 1, 4, 16)]
    found = plans(network(), torch.rand(7, 1, 16, 12), free=MAPS, others=others)
    assert set(found) == {"folded", "branches", "grouped"}


def test_signals_of_any_length() -> None:
    plans(Signals(), torch.rand(7, 3, 12), free={2: T}, others=[torch.rand(7, 3, 5), torch.rand(7, 3, 31)])


def test_characters_of_any_number() -> None:
    ids = [torch.randint(0, 20, (7, size)) for size in (12, 16, 3, 31)]
    found = plans(Characters(), ids[0], free={1: T}, others=ids[1:])
    assert set(found) == {"folded", "branches", "grouped"}


@pytest.mark.parametrize("attention", [Attention, OfTorch])
def test_tokens_of_any_number(attention: type[nn.Module]) -> None:
    ids = [torch.randint(0, 20, (7, size)) for size in (8, 16, 3, 31)]
    plans(Encoder(attention()), ids[0], free={1: T}, others=ids[1:])
    plans(Attentive(), torch.rand(7, 12, 3), free={1: T}, others=[torch.rand(7, 8, 3), torch.rand(7, 3, 3)])


class Padded(nn.Module):
    """Pads maps up to a multiple of 8 with ones, which no example of a multiple of 8 shows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mask = nn.Conv2d(1, 8, 3, padding=1), Masksembles2d(8, 3, 2.0, align=1)
        self.second, self.last = nn.Conv2d(8, 8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mask(self.first(x))
        x = F.pad(x, (0, -x.shape[3] % 8, 0, 0), value=1.0)
        return self.last(self.second(x).mean((2, 3)))


def test_what_another_size_makes_alive_is_kept() -> None:
    plans(Padded(), torch.rand(7, 1, 8, 8), free=MAPS, others=[torch.rand(7, 1, 8, 12)])


@pytest.mark.slow
def test_every_plan_in_onnxruntime() -> None:
    every = ["folded", "branches", "grouped"]
    small = unet((2, 8, 8), 3, submodels=3, channels=4, depth=2, align=1)
    plans(small, torch.rand(7, 2, 8, 12), onnx_of=every, free=MAPS, others=[torch.rand(7, 2, 4, 4)])  # type: ignore[arg-type]
    ids = [torch.randint(0, 20, (7, size)) for size in (8, 16, 3, 31)]
    plans(Characters(), ids[0], onnx_of=every, free={1: T}, others=ids[1:])  # type: ignore[arg-type]
    for attention in (Attention(), OfTorch()):
        plans(Encoder(attention), ids[0], onnx_of=every[:2], free={1: T}, others=ids[1:])  # type: ignore[arg-type]
