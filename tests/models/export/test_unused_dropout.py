import logging

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.export import ExportOptions
from models.export.adopted import adopt_networks
from models.export.unused_dropout import unused_dropout
from models.layers import Masksembles1d, layers
from tests.models.export.networks import NETWORKS

EXAMPLE = torch.rand(2, 6)
LABELS = ExportOptions(labels="abc")


class Calls(nn.Module):
    """Drops in a module, in a call, and not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.drop, self.never = nn.Dropout(0.5), nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.never(self.drop(self.first(x))), 0.2, self.training)
        return self.last(x)


def dropping(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), *more, nn.Dropout(0.5), nn.Linear(8, 3)).eval()


def test_modules_and_calls_are_found_but_no_dropout_of_nothing() -> None:
    assert unused_dropout(Calls().eval(), EXAMPLE) == ["drop", "call 1 of dropout"]


def test_what_drops_inside_is_found() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True).eval()
    found = unused_dropout(encoder, torch.rand(2, 3, 8))
    assert found == ["dropout", "dropout1", "dropout2", "self_attn"]
    assert encoder.self_attn.dropout == 0.1
    assert unused_dropout(nn.LSTM(8, 4, num_layers=2, dropout=0.1).eval(), torch.rand(2, 3, 8)) == ["LSTM"]


@pytest.mark.parametrize("network", [nn.Linear(6, 3), *(kind() for kind in NETWORKS if NETWORKS[kind] == (6,))])
def test_there_is_none_where_nothing_drops(network: nn.Module) -> None:
    assert unused_dropout(network.eval(), EXAMPLE) == []


def test_a_network_that_does_not_run_is_left_to_the_trace() -> None:
    assert unused_dropout(dropping(), torch.rand(2, 7)) == ["1"]


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (dropping(), "(1): a single model; --mc-dropout N (ExportOptions.mc_dropout) freezes dropout into N submodels"),
        (dropping(Masksembles1d(8, 4, 2.0)), "(2): the submodels are those of the Masksembles layers alone"),
        ([dropping(), dropping()], "(1): the submodels are the networks alone"),
        (
            nn.Sequential(*(nn.Dropout(0.1) for _ in range(7)), nn.Linear(6, 3)),
            "(0, 1, 2, 3, 4 and 2 more): a single model",
        ),
    ],
)
def test_an_export_warns_of_it(
    networks: nn.Module | list[nn.Module], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    adopt_networks(networks, EXAMPLE, LABELS)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"adopt: dropout is off, as in evaluation mode {message}" in record.getMessage()


def test_frozen_dropout_is_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    adopted = adopt_networks(Calls(), EXAMPLE, ExportOptions(labels="abc", mc_dropout=4))
    assert len(layers(adopted)) == 2
    assert not caplog.records
