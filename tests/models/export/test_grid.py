"""The heads of traced networks."""

import pytest
import torch
from torch import nn

from models.export import ExportOptions
from models.export.grid import describe_heads
from models.export.trace import trace


def test_the_networks_of_an_ensemble_are_alike() -> None:
    x = torch.rand(2, 6)
    traced = [trace(nn.Linear(6, width).eval(), x) for width in (3, 4)]
    with pytest.raises(ValueError, match="network: expected all networks to give as many numbers"):
        describe_heads(traced, ExportOptions(labels="abc"))


def test_a_regressor_stays_in_float32() -> None:
    traced = [trace(nn.Linear(6, 2).eval(), torch.rand(2, 6))]
    with pytest.raises(ValueError, match="precision: a regressor's numbers stay in float32"):
        describe_heads(traced, ExportOptions(targets=[("y", "m")], precision="float16"))
