"""Dropout that an export leaves out, as evaluation mode does: told, since its author may have meant MC-dropout."""

import copy
import logging
from collections.abc import Sequence

import torch
from torch import nn

from models.adopt import replace
from models.functional_dropout import dropout_calls
from models.given import Tensors, each
from models.layers import FrozenDropout, assigned, layers

_MODULES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_NAMED = 5

_log = logging.getLogger(__name__)


def warn_of_unused_dropout(networks: Sequence[nn.Module], example: Tensors) -> None:
    """Logs a warning that names the dropout of adopted networks that no masks have taken the place of.

    Args:
        networks: one, or the members of a deep ensemble.
        example: an input [B, …] of each, or all of them in order.
    """
    if any(isinstance(layer, FrozenDropout) for layer in layers(networks[0]).values()):
        return  # frozen dropout: what cannot be frozen, `adopt` refuses
    unused = list(dict.fromkeys(name for network in networks for name in unused_dropout(network, example)))
    if not unused:
        return
    named = ", ".join(unused[:_NAMED]) + f" and {len(unused) - _NAMED} more" * (len(unused) > _NAMED)
    if len(networks) > 1:
        result = "the submodels are the networks alone"
    elif layers(networks[0]):
        result = "the submodels are those of the Masksembles layers alone"
    else:
        result = "a single model; --mc-dropout N (ExportOptions.mc_dropout) freezes dropout into N submodels"
    _log.warning("adopt: dropout is off, as in evaluation mode (%s): %s", named, result)


def unused_dropout(network: nn.Module, example: Tensors) -> list[str]:
    """The dropout with p > 0 that a network in evaluation mode leaves out: names of modules, and calls of functions."""
    plain = copy.deepcopy(network)
    modules: dict[nn.Module, str] = {}
    inner: list[str] = []
    for name, module in plain.named_modules():
        if isinstance(module, _MODULES) and module.p > 0:
            modules[module] = name or type(module).__name__
        elif isinstance(module, (nn.MultiheadAttention, nn.RNNBase)) and module.dropout > 0:
            inner.append(name or type(module).__name__)
            module.dropout = 0.0
    replace(plain, {module: nn.Identity() for module in modules})
    return [*modules.values(), *inner, *_calls(plain, example)]


def _calls(network: nn.Module, example: Tensors) -> list[str]:
    try:
        with assigned(network, torch.zeros(len(each(example)[0]), dtype=torch.long)):
            found = dropout_calls(network, example)
    except Exception:  # a network that does not run: the trace says what is wrong, and where
        return []
    return [f"call {index} of {call.name}" for index, call in enumerate(found, start=1)]
