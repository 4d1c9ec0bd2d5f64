"""Takes off what trainings wrap networks and weights in, and bakes weights that are computed anew in every pass.

The network itself is not touched: all of it happens in a copy, or while the copy is made.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

_SEGMENTS = ("module", "_orig_mod")
"""What wrappers put between the dots of a state_dict's keys."""
_BESIDE = "n_averaged"
"""What AveragedModel adds to a state_dict."""


def unwrapped(network: nn.Module) -> nn.Module:
    """The network in DataParallel, DistributedDataParallel, torch.compile or AveragedModel; itself if in none."""
    inner = _inner(network)
    return network if inner is None else unwrapped(inner)


def plain_copy(network: nn.Module) -> nn.Module:
    """A copy without wrappers, at whatever depth they are, in evaluation mode and with weights as plain parameters.

    Weight norm, spectral norm (as functions of hooks or as parametrizations), any other parametrization and pruning are
    baked: the weight that they compute in evaluation mode takes their place.

    Raises:
        ValueError: a part is TorchScript, of which no copy can be traced.
    """
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{name or 'the network'} is TorchScript ({module.original_name}): give the torch.nn.Module that it "
                "was made from, with its weights loaded"
            )
    memo: dict[int, Any] = {}
    for module in network.modules():
        for value in vars(module).values():
            # such as a weight of weight norm after a forward pass: what a pass computed cannot be copied
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    # inner ones first; a copy then finds the network itself where a wrapper was
    for module in reversed(list(network.modules())):
        if (inner := _inner(module)) is not None:
            memo[id(module)] = copy.deepcopy(inner, memo)
    copied: nn.Module = copy.deepcopy(network, memo).eval()
    for module in list(copied.modules()):
        module._compiled_call_impl = None  # of nn.Module.compile()
        _bake(module)
    return copied


def plain_names(state: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """A state_dict with its keys as a network knows them: wrappers, here or there, leave `module` or `_orig_mod` in
    them. Keys that remain unknown stay as they are."""
    places = {_plain(key): key for key in known}
    if len(places) < len(known):  # a network of parts that are called so
        return state
    found = {key if key in known else places.get(_plain(key), key): value for key, value in state.items()}
    return {key: value for key, value in found.items() if key in known or key.rpartition(".")[2] != _BESIDE}


def _plain(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _SEGMENTS)


def _inner(module: nn.Module) -> nn.Module | None:
    """The network in a wrapper."""
    if type(module).__name__ == "OptimizedModule":  # by name: importing torch._dynamo takes seconds
        compiled: nn.Module = module._orig_mod  # type: ignore[assignment]
        return compiled
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)):
        inner: nn.Module = module.module
        return inner
    return None


def _bake(module: nn.Module) -> None:
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
        elif isinstance(hook, (WeightNorm, prune.BasePruningMethod)):
            hook.remove(module)
            del module._forward_pre_hooks[key]
    if parametrize.is_parametrized(module):
        kind = type(module)
        # a class of its own: a copy shares that of the network, from which the weight would be removed, too
        own = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
        module.__class__ = type(kind.__name__, kind.__bases__, own)
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
