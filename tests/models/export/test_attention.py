"""Transformers, which torch runs by one fused operation in evaluation mode unless it is told not to."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models import artefact, runtime
from models.export import ExportOptions, export
from models.layers import Masksembles1d, submodels


class Encoder(nn.Module):
    """Rows [B, 5, 6] through a mask, if it has one, and an encoder layer."""

    def __init__(self, mask: nn.Module) -> None:
        super().__init__()
        self.first, self.mask, self.last = nn.Linear(6, 8), mask, nn.Linear(8, 3)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.layer.self_attn.dropout = 0.0  # which cannot be frozen

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(self.mask(self.first(x).transpose(1, 2)).transpose(1, 2)).mean(dim=1))


@pytest.mark.parametrize(
    ("mask", "mc_dropout"), [(Masksembles1d(8, 4, 2.0, seed=0), None), (nn.Identity(), 4)], ids=["masks", "mc-dropout"]
)
def test_an_encoder_layer_answers_as_the_loop(mask: nn.Module, mc_dropout: int | None, tmp_path: Path) -> None:
    assert torch.backends.mha.get_fastpath_enabled()
    network, rows = Encoder(mask), torch.randn(5, 5, 6)
    export(network, rows, ExportOptions(labels="abc", mc_dropout=mc_dropout), name="e", repository=tmp_path)
    assert torch.backends.mha.get_fastpath_enabled()
    model, contract, _ = artefact.read(tmp_path, "e")
    assert contract.num_submodels == 4
    found = runtime.run(model, rows.numpy(), ["logits"])["logits"]
    assert len({tuple(logits) for logits in found[0].tolist()}) == 4
    if mc_dropout is None:
        with torch.no_grad():
            expected = submodels(network.eval(), rows).permute(1, 0, 2)
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
