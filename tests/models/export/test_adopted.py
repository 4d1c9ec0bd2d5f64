"""Networks become one; what several networks may not be is tested with whole exports, in test_ensemble."""

import pytest
import torch
from torch import nn

from models.export import ExportOptions
from models.export.adopted import adopt_networks, members
from models.layers import DeepEnsemble, FrozenDropout, Masksembles1d
from models.networks.mlp import mlp
from tests.models import third_party

EXAMPLE = torch.rand(2, 6)


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.5), nn.Linear(16, 3))


def test_one_network_stays_one() -> None:
    network = mlp((6,), 3, align=1, hidden=(8,)).train()
    adopted = adopt_networks(network, EXAMPLE, ExportOptions(labels="abc"))
    assert adopted is not network
    assert (adopted.training, network.training) == (False, True)
    assert members(adopted) == [adopted]


def test_dropout_is_frozen_as_the_options_say() -> None:
    network = with_dropout()
    masks = []
    for seed in (0, 0, 1):
        options = ExportOptions(labels="abc", mc_dropout=5, seed=seed)
        frozen = adopt_networks(network, EXAMPLE, options).get_submodule("1")
        assert isinstance(frozen, FrozenDropout)
        masks.append(frozen.masks)
    assert masks[0].shape == (5, 16)
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_several_networks_keep_their_order_and_become_copies_in_evaluation_mode() -> None:
    networks = [with_dropout().double().train() for _ in range(3)]
    ensemble = adopt_networks(networks, EXAMPLE, ExportOptions(labels="abc"))
    assert isinstance(ensemble, DeepEnsemble)
    adopted = members(ensemble)
    assert len(adopted) == 3
    for found, given in zip(adopted, networks):
        assert not any(module.training for module in found.modules())
        torch.testing.assert_close(found(EXAMPLE), given.eval()(EXAMPLE.double()).float())
        assert next(given.parameters()).dtype == torch.float64


@pytest.mark.parametrize("masked", [Masksembles1d(16, 4, 2.0), third_party.Masksembles1D(16, 4, 2.0)])
def test_masks_of_any_kind_are_no_member_of_a_deep_ensemble(masked: nn.Module) -> None:
    networks = [nn.Linear(6, 3), nn.Sequential(nn.Linear(6, 16), masked, nn.Linear(16, 3))]
    with pytest.raises(ValueError, match=r"network\[1\] has Masksembles layers: a deep ensemble is made of single"):
        adopt_networks(networks, EXAMPLE, ExportOptions(labels="abc"))


def test_there_is_nothing_to_tune_in_a_deep_ensemble() -> None:
    with pytest.raises(ValueError, match="plan and tune: the networks of a deep ensemble share nothing"):
        adopt_networks([nn.Linear(6, 3)] * 2, EXAMPLE, ExportOptions(labels="abc", tune=True))
