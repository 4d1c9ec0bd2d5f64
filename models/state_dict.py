"""Loads weights and masks from a file of torch.save into a network that a factory builds."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import masks as mask_generator
from models.adopt import third_party_layers
from models.layers import Masksembles, layers
from models.wrappers import plain_names, unwrapped

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network")
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.")  # DataParallel and torch.compile put the first two


class StateDictError(ValueError):
    """A checkpoint is missing, damaged, from another program, or does not fit the network."""


def build(factory: str) -> nn.Module:
    """The network that `package.module:factory` returns when called without arguments.

    Raises:
        ValueError: there is no such factory, or it returns something else.
    """
    module, colon, name = factory.partition(":")
    try:
        made: Callable[[], Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        expected = "" if colon and name else "expected package.module:factory, "
        raise ValueError(f"network: {expected}cannot import {factory!r}: {error}") from error
    try:
        network = made()
    except TypeError as error:
        raise ValueError(f"network: {factory} is called without arguments: {error}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"network: {factory} must give a torch.nn.Module, got {type(network).__name__}")
    return network


def load_weights(network: nn.Module, file: Path) -> None:
    """Loads a checkpoint of plain tensors (`weights_only`) into a network, masks included.

    The state_dict may lie under `state_dict`, `model_state_dict`, `model` or `network`, and its keys may have the
    prefix of a wrapper (`module.`, `_orig_mod.`, `model.`, `network.`); the network may be wrapped itself. Masks may
    have any numeric type, such as float64 in the `masksembles` package 1.1.

    Raises:
        StateDictError: not a checkpoint, keys or shapes that do not fit, or masks missing: the `masksembles` package
            1.1.1 does not save them.
    """
    try:
        state = torch.load(file, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise StateDictError(f"{file}: no such checkpoint") from None
    except Exception as error:  # the unpickler raises whatever it stumbles over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StateDictError(f"{file}: not a readable checkpoint of plain tensors ({reason})") from error
    for key in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise StateDictError(f"{file}: holds no state_dict")
    network = unwrapped(network)
    masked: dict[str, nn.Module] = {**layers(network), **third_party_layers(network)}
    # the masksembles package 1.1.1 leaves masks out of a state_dict
    known = set(network.state_dict()) | {_join(name, "masks") for name in masked}
    weights = plain_names(_without_prefix({str(key): value for key, value in state.items()}, known), known)
    for name, layer in masked.items():
        _load_masks(file, name, layer, weights.pop(_join(name, "masks"), None))
        # files of other packages have no scale; the masks give the effective one
        scale = weights.pop(_join(name, "_extra_state"), None)
        if isinstance(layer, Masksembles):
            masks = layer.masks.numpy()
            layer.scale = float(scale) if scale is not None else mask_generator.statistics(masks).effective_scale
    try:
        # strict would miss the masks, which were taken out above
        missing, unexpected = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # a shape differs
        raise StateDictError(f"{file}: {error}") from error
    given = {_join(name, key) for name in masked for key in ("masks", "_extra_state")}
    if wrong := [*(f"no {key}" for key in missing if key not in given), *(f"unknown {key}" for key in unexpected)]:
        raise StateDictError(f"{file} does not fit the network: {', '.join(wrong[:8])}{', …' * (len(wrong) > 8)}")


def _load_masks(file: Path, name: str, layer: nn.Module, given: Tensor | None) -> None:
    masks: Any = layer.masks
    if given is None and isinstance(layer, Masksembles):
        raise StateDictError(
            f"{file} has no masks for the layer {name!r}: it is that of a network without masks, or of other masks. "
            "Weights that were trained without can be loaded in the factory: models.networks.resnet.load_torchvision"
        )
    if given is None:
        raise StateDictError(
            f"{file} has no masks for the layer {name!r}: the masksembles package 1.1.1 does not save them, and weights"
            " under other masks are another network. Where the trained network is still in memory, export it there, or "
            "save its masks too: torch.save(network.state_dict() | {f'{name}.masks': module.masks for name, module "
            "in network.named_modules() if hasattr(module, 'masks')}, file)"
        )
    if given.shape != masks.shape or not bool(((given == 0) | (given == 1)).all()):
        raise StateDictError(
            f"{file}: {name}.masks must be zeros and ones {list(masks.shape)}, got {given.dtype} {list(given.shape)}"
        )
    # in place: version 1.1 keeps masks as a Parameter, 1.1.1 as a buffer that a state_dict leaves out
    masks.data = given.to(masks.dtype)


def _without_prefix(state: dict[str, Any], known: set[str]) -> dict[str, Any]:
    for prefix in _PREFIXES:
        if state and all(key.startswith(prefix) for key in state) and not any(key in known for key in state):
            return _without_prefix({key.removeprefix(prefix): value for key, value in state.items()}, known)
    return state


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
