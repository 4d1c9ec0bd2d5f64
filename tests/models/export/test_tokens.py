"""Transformers: channels on the last axis of [B, T, C], attention, positions, and a token of no word."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.layers import Masksembles1d
from tests.models import third_party
from tests.models.export.plans_agree import plans, share, weights

Masks = Callable[[int], nn.Module]
WIDTH, TOKENS = 8, 5


class OfTokens(nn.Module):
    """A mask over the last axis of [B, T, C]."""

    def __init__(self, mask: nn.Module) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return self.mask(x.transpose(1, 2)).transpose(1, 2)


def ours(channels: int, seed: int = 0, align: int = 1) -> nn.Module:
    return OfTokens(Masksembles1d(channels, 3, 2.0, seed=seed, align=align))


class Attention(nn.Module):
    """Written by hand: one product for queries, keys and values, and torch's function."""

    def __init__(self) -> None:
        super().__init__()
        self.together, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        parts = [part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.together(x).chunk(3, dim=-1)]
        return self.out(F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))


class OfTorch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Block(nn.Module):
    """Norms before attention and MLP, a mask in the MLP."""

    def __init__(self, attention: nn.Module, mask: nn.Module) -> None:
        super().__init__()
        self.attention, self.first, self.second = attention, nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), mask, nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class Reader(nn.Module):
    """[B, T] ids or [B, T, 3] → logits [B, 4], by the mean over the tokens or by a token put before them."""

    def __init__(self, enter: nn.Module, *blocks: nn.Module, mean: bool = False) -> None:
        super().__init__()
        self.enter, self.blocks, self.mean = enter, nn.Sequential(*blocks), mean
        self.positions = nn.Parameter(torch.randn(1, TOKENS + 1, WIDTH))
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.last = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        if not self.mean:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.blocks(x + self.positions[:, : x.shape[1]])
        return self.last(x.mean(dim=1) if self.mean else x[:, 0])


ROWS, IDS = torch.randn(7, TOKENS, 3), torch.randint(0, 20, (7, TOKENS))


@pytest.mark.parametrize("attention", [Attention, OfTorch])
@pytest.mark.parametrize("mean", [True, False], ids=["mean", "token"])
def test_the_mlp_of_a_block_is_compacted(attention: type[nn.Module], mean: bool) -> None:
    enter = nn.Linear(3, WIDTH)
    network = Reader(enter, *(Block(attention(), ours(4 * WIDTH, seed, align=16)) for seed in (0, 1)), mean=mean)
    found = plans(network, ROWS)
    sizes = weights(found["branches"], "linear")
    assert sizes.count((WIDTH, 16)) == 6
    assert sizes.count((16, WIDTH)) == 3  # of the second block; the first one's is shared
    assert "grouped" not in found


def test_a_mask_between_transposes_leaves_no_transpose() -> None:
    first, second = ours(32, align=16), ours(32, 1, align=16)
    found = plans(nn.Sequential(nn.Linear(3, 32), first, nn.Linear(32, 32), nn.ReLU(), second, Mean()), ROWS)
    names = [str(node.target) for node in found["branches"].graph.nodes]
    # that of the first mask remains, which selects from a value that all submodels share
    assert sum("transpose" in name for name in names) <= 4


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


@pytest.mark.parametrize("mean", [True, False], ids=["mean", "token"])
def test_ids_of_tokens_whose_embedding_is_masked(mean: bool) -> None:
    enter = nn.Sequential(nn.Embedding(20, WIDTH), ours(WIDTH))
    plans(Reader(enter, Block(Attention(), ours(4 * WIDTH)), mean=mean), IDS, onnx_of=[] if mean else ["branches"])


def test_encoder_layers_of_torch_behind_a_mask() -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
    network = Reader(nn.Sequential(nn.Linear(3, WIDTH), ours(WIDTH)), nn.TransformerEncoder(layer, 2))
    plans(network, ROWS)
    first = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True, norm_first=True)
    plans(Reader(nn.Sequential(nn.Linear(3, WIDTH), ours(WIDTH)), first, mean=True), ROWS)


def test_an_attention_mask_hides_tokens() -> None:
    class Hides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.mask = nn.Embedding(20, WIDTH, padding_idx=0), ours(WIDTH)
            self.attention, self.last = nn.MultiheadAttention(WIDTH, 2, batch_first=True), nn.Linear(WIDTH, 4)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.mask(self.enter(ids))
            x = x + self.attention(x, x, x, key_padding_mask=ids == 0, need_weights=False)[0]
            real = (ids != 0).unsqueeze(-1)
            return self.last((x * real).sum(dim=1) / real.sum(dim=1))

    ids = IDS.clone()
    ids[:, 3:] = 0
    plans(Hides(), ids)


@pytest.mark.parametrize("mask", [lambda: third_party.Mask1d(16, 3, 0), lambda: Masksembles1d(16, 3, seed=0)])
def test_tokens_that_are_rows(mask: Callable[[], nn.Module]) -> None:
    class Rows(nn.Module):
        """[B·T, C] for a mask that takes no tokens."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.mask, self.last = nn.Linear(3, 16), mask(), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            masked = self.mask(self.first(x).flatten(0, 1))
            return self.last(masked).unflatten(0, (-1, TOKENS)).mean(dim=1)

    plans(Rows(), ROWS)


@pytest.mark.parametrize("between", [nn.Linear(8, 8), nn.ReLU()], ids=["linear", "relu"])
def test_masks_along_two_axes(between: nn.Module) -> None:
    channels, tokens = ours(8), Masksembles1d(TOKENS, 3, 2.0, seed=1, align=1)
    found = plans(nn.Sequential(nn.Linear(3, 8), channels, between, tokens, nn.Linear(8, 4), Mean()), ROWS)
    assert set(found) == {"folded", "branches"}


def test_what_takes_dropped_channels_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="models.export.compact"):
        plans(nn.Sequential(nn.Linear(3, 16), ours(16), nn.LayerNorm(16), nn.Linear(16, 4), Mean()), ROWS)
    assert "takes all channels, since it may mix them: aten.layer_norm.default" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("attention", [Attention, OfTorch])
@pytest.mark.parametrize("mean", [True, False], ids=["mean", "token"])
def test_every_plan_in_onnxruntime(attention: type[nn.Module], mean: bool) -> None:
    for enter, rows in ((nn.Linear(3, WIDTH), ROWS), (nn.Embedding(20, WIDTH), IDS)):
        network = Reader(enter, Block(attention(), ours(4 * WIDTH)), Block(attention(), ours(4 * WIDTH, 1)), mean=mean)
        found = plans(network, rows, onnx_of=["folded", "branches"])
        if rows is ROWS:
            assert share(found, "branches", rows) < 0.9
