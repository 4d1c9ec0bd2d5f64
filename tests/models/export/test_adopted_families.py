"""Networks as people build them, with the layers of every package, at several sizes of rows and batches."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from models.layers import Masksembles1d, Masksembles2d
from tests.models import third_party
from tests.models.export.plans_agree import plans, share, weights

Layer = Callable[[int], nn.Module]
H, W, T = 2 * Dim("_H", min=2, max=32), 2 * Dim("_W", min=2, max=32), Dim("T", min=2, max=40)


def of_the_package(name: str, channels: int) -> nn.Module:
    kind = getattr(pytest.importorskip("masksembles.torch"), name)
    layer: nn.Module = kind(channels, 3, 1.7)
    return layer


MAPS: dict[str, Layer] = {
    "ours": lambda channels: Masksembles2d(channels, 3, 2.0, align=1),
    "torch-uncertainty's": lambda channels: third_party.Mask2d(channels, 3, seed=1),
    "masksembles'": lambda channels: of_the_package("Masksembles2D", channels),
}
SEQUENCES: dict[str, Layer] = {
    "ours": lambda channels: Masksembles1d(channels, 3, 2.0, align=1),
    "torch-uncertainty's": lambda channels: third_party.Mask1d(channels, 3, seed=1),
    "masksembles'": lambda channels: of_the_package("Masksembles1D", channels),
}
WORDS = (6, 2, 7)
"""Sizes of sentences. Beside float64, torch's attention misreads a padding mask that was traced in float32 once it
fills a vector of the processor: 8 values with AVX2, 16 with AVX-512."""


class Separable(nn.Module):
    """[B, 2, H, W] → [B, 4, H, W]: depthwise and transposed convolutions, and what both ways give, joined."""

    def __init__(self, mask: Layer) -> None:
        super().__init__()
        self.first, self.begin = nn.Conv2d(2, 12, 3, padding=1), mask(12)
        self.depthwise, self.norm = nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12)
        self.across, self.mask = nn.Conv2d(12, 16, 1), mask(16)
        self.down, self.up = nn.Conv2d(16, 16, 2, stride=2, groups=16), nn.ConvTranspose2d(16, 12, 2, stride=2)
        self.other, self.last = mask(12), nn.Conv2d(24, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.begin(self.first(x))
        y = self.mask(self.across(self.norm(self.depthwise(x)).relu()))
        return self.last(torch.cat([x, self.other(self.up(self.down(y)))], dim=1))


class Sentences(nn.Module):
    """[B, T] ids → [B, 3]: an encoder layer of torch's behind a mask over the embeddings, padding hidden from it."""

    def __init__(self, mask: Layer) -> None:
        super().__init__()
        self.embed, self.mask = nn.Embedding(20, 12, padding_idx=0), mask(12)
        self.layer = nn.TransformerEncoderLayer(12, 2, 16, batch_first=True)
        self.pooled, self.hidden, self.last = mask(12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.mask(self.embed(ids).transpose(1, 2)).transpose(1, 2)
        x = self.layer(x, src_key_padding_mask=ids == 0)
        real = (ids != 0).unsqueeze(-1)
        return self.last(self.pooled(self.hidden((x * real).sum(1) / real.sum(1)).relu()))


class Remembers(nn.Module):
    """[B, T, 5] → [B, 3]: a recurrent layer behind a mask over the features of every step."""

    def __init__(self, mask: Layer, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.first, self.mask = nn.Conv1d(5, 12, 3, padding=1), mask(12)
        self.body = kind(12, 6, 2, batch_first=True, bidirectional=True)
        self.other, self.hidden, self.last = mask(16), nn.Linear(24, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.mask(self.first(x.transpose(1, 2)).relu()).transpose(1, 2)
        states = self.body(features)[0]
        return self.last(self.other(self.hidden(torch.cat([states[:, -1], states.mean(1)], 1)).relu()))


@pytest.mark.parametrize("mask", MAPS)
def test_depthwise_and_transposed_convolutions_and_a_concatenation(mask: str) -> None:
    rows, others = torch.rand(7, 2, 6, 8), [torch.rand(7, 2, 4, 4), torch.rand(7, 2, 12, 6)]
    found = plans(Separable(MAPS[mask]), rows, free={2: H, 3: W}, others=others)
    assert set(found) == {"folded", "branches", "grouped"}
    assert share(found, "branches", rows) < 0.9


@pytest.mark.parametrize("mask", SEQUENCES)
def test_a_transformer_of_token_ids_and_a_padding_mask(mask: str) -> None:
    ids = [torch.randint(0, 20, (7, size)) for size in WORDS]
    for each in ids:
        each[:, 0] = 3  # a row of padding alone has no mean
    found = plans(Sentences(SEQUENCES[mask]), ids[0], free={1: T}, others=ids[1:])
    projections = [size for size in weights(found["branches"], "linear") if size[0] == 36]
    assert all(inputs < 12 for _, inputs in projections)


@pytest.mark.parametrize("mask", SEQUENCES)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent_layers_behind_masks(mask: str, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
    network = Remembers(SEQUENCES[mask], kind)
    plans(network, torch.rand(7, 6, 5), free={1: T}, others=[torch.rand(7, 2, 5), torch.rand(7, 17, 5)])


@pytest.mark.slow
@pytest.mark.parametrize("mask", MAPS)
def test_every_family_in_onnxruntime(mask: str) -> None:
    maps, sequences = MAPS[mask], SEQUENCES[mask]
    others = [torch.rand(7, 2, 4, 4), torch.rand(7, 2, 12, 6)]
    every = ["folded", "branches", "grouped"]
    plans(Separable(maps), torch.rand(7, 2, 6, 8), free={2: H, 3: W}, others=others, onnx_of=every)  # type: ignore[arg-type]
    ids = [torch.randint(1, 20, (7, size)) for size in WORDS]
    plans(Sentences(sequences), ids[0], free={1: T}, others=ids[1:], onnx_of=["folded", "branches"])
    for kind in (nn.LSTM, nn.GRU):
        rows, others = torch.rand(7, 6, 5), [torch.rand(7, 17, 5)]
        plans(Remembers(sequences, kind), rows, free={1: T}, others=others, onnx_of=["folded", "branches"])
