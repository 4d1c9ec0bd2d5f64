"""The caller's networks as one network of N submodels."""

from collections.abc import Sequence

from torch import nn

from models.adopt import adopt
from models.export.in_order import in_order
from models.export.options import ExportOptions
from models.export.unused_dropout import warn_of_unused_dropout
from models.given import Tensors
from models.layers import DeepEnsemble, layers


def adopt_networks(network: nn.Module | Sequence[nn.Module], example: Tensors, options: ExportOptions) -> nn.Module:
    """One network with Masksembles layers of our own, or several networks as a deep ensemble; with several heads it
    gives a tuple. Warns of dropout that has become no mask.

    Raises:
        ValueError: they cannot be adopted, or several do not make a deep ensemble.
    """
    if isinstance(network, nn.Module):
        adopted = adopt(network, example, mc_dropout=options.mc_dropout, seed=options.seed)
        warn_of_unused_dropout([adopted], example)
        return in_order(adopted, example, options.heads)
    if options.mc_dropout is not None:
        raise ValueError("mc_dropout: a deep ensemble's networks are its submodels")
    if options.plan is not None or options.tune:
        raise ValueError("plan and tune: the networks of a deep ensemble share nothing, there is only one plan")
    members = [adopt(member) for member in network]
    if len(members) < 2:
        raise ValueError(f"network: a deep ensemble has at least 2 networks, got {len(members)}")
    for index, member in enumerate(members):
        if layers(member):
            raise ValueError(f"network[{index}] has Masksembles layers: a deep ensemble is made of single networks")
    warn_of_unused_dropout(members, example)
    return DeepEnsemble(in_order(member, example, options.heads) for member in members)


def members(network: nn.Module) -> list[nn.Module]:
    """The networks to trace: the members of a deep ensemble, or the network itself."""
    return list(network.members) if isinstance(network, DeepEnsemble) else [network]
