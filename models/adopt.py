"""Takes a trained network and returns one that the export can read: all masks in our own layers.

Layers of other packages are recognised by class name, so no package need be installed: the `masksembles` package's
Masksembles1D and Masksembles2D, and torch-uncertainty's Mask1d and Mask2d, which are part of its MaskedLinear,
MaskedConv2d and MaskedConvTranspose2d.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from models import masks as mask_generator
from models.functional_dropout import FunctionalDropout, dropout_calls
from models.given import Tensors, each
from models.layers import FrozenDropout, Masksembles, Masksembles1d, Masksembles2d, assigned, count, layers
from models.wrappers import plain_copy

_FOREIGN: dict[str, type[Masksembles]] = {
    "Masksembles1D": Masksembles1d,
    "Masksembles2D": Masksembles2d,
    "Mask1d": Masksembles1d,
    "Mask2d": Masksembles2d,
}
_BY_CHANNEL = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)

_log = logging.getLogger(__name__)


def adopt(
    network: nn.Module, example: Tensors | None = None, *, mc_dropout: int | None = None, seed: int = 0
) -> nn.Module:
    """A copy in evaluation mode, in float32 on the CPU, masks kept exactly and wrappers taken off (`models.wrappers`).
    The network itself is not touched.

    Args:
        network: with Masksembles layers of any known kind (including torch-uncertainty's networks, which
            repeat their input themselves), or with dropout.
        example: an input [B, …] of the network, or all of them in order, needed for `mc_dropout` only.
        mc_dropout: freeze dropout, modules and calls of functions, into this many masks, drawn from `seed`, with its
            factor 1/(1 − p).

    Raises:
        ValueError: its Masksembles layers disagree about the number of submodels, one is of a kind that is not known,
            or there is no dropout to freeze.
    """
    adopted = plain_copy(network).to(device="cpu", dtype=torch.float32).requires_grad_(False)
    replace(adopted, {module: _translate(name, module) for name, module in third_party_layers(adopted).items()})
    if mc_dropout is not None:
        if example is None:
            raise ValueError("mc_dropout needs an example input")
        _check_dropout(adopted)
        frozen = _freeze(adopted, example, mc_dropout, seed)
        replace(adopted, frozen)
        calls = _freeze_calls(adopted, example, mc_dropout, (seed, len(frozen)))
        if not frozen and not calls:
            raise ValueError(
                "mc_dropout: the network has no dropout with p > 0 that its forward pass meets, neither nn.Dropout nor "
                "a call of torch.nn.functional.dropout"
            )
        adopted = FunctionalDropout(adopted, calls).eval() if calls else adopted
    submodels = count(adopted)
    for name, module in adopted.named_modules():
        if getattr(module, "num_estimators", 1) not in (1, submodels):
            raise ValueError(
                f"{name}.num_estimators is {module.num_estimators}, but its masks make {submodels} submodels"
            )
        if hasattr(module, "num_estimators"):
            module.num_estimators = 1  # how torch-uncertainty is told not to repeat the input
    return adopted


def third_party_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The layers of other packages that hold masks, by name.

    Raises:
        ValueError: one has masks and is of a kind that is not known.
    """
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, Masksembles) or not isinstance(getattr(module, "masks", None), Tensor):
            continue
        if _ours(module) is None:
            raise ValueError(
                f"{name}: {type(module).__name__} holds masks in a way that is not known here; known are "
                f"{', '.join(_FOREIGN)} and the layers of models.layers"
            )
        found[name] = module
    return found


def replace(network: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    """Replaces modules by others, under all of their names."""
    # one module may stand in a network twice, and named_modules() would give its first name alone
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if module in replacements:
            network.set_submodule(name, replacements[module])


def _translate(name: str, module: nn.Module) -> Masksembles:
    masks: Any = module.masks
    if masks.ndim != 2 or not bool(((masks == 0) | (masks == 1)).all()):
        raise ValueError(f"{name}.masks: expected zeros and ones [N, C], got {masks.dtype} {list(masks.shape)}")
    scale = getattr(module, "scale", None)
    if scale is None:  # torch-uncertainty does not keep it
        scale = mask_generator.statistics(masks.bool().numpy()).effective_scale
    kind = _ours(module)
    if kind is None:
        raise ValueError(f"{name}: {type(module).__name__} is not known")
    return kind.from_masks(masks, float(scale))


def _ours(module: nn.Module) -> type[Masksembles] | None:
    """Our counterpart of another package's layer, or of a class derived from it."""
    return next((_FOREIGN[kind.__name__] for kind in type(module).__mro__ if kind.__name__ in _FOREIGN), None)


def _check_dropout(network: nn.Module) -> None:
    """Refuses dropout that MC-dropout would silently leave out."""
    if layers(network):
        raise ValueError("mc_dropout: the network has Masksembles layers already; export it without")
    for name, module in network.named_modules():
        # these drop inside one fused operation, where no module can be replaced
        inner = isinstance(module, (nn.MultiheadAttention, nn.RNNBase)) and module.dropout > 0
        if inner or (isinstance(module, (nn.AlphaDropout, nn.FeatureAlphaDropout)) and module.p > 0):
            raise ValueError(f"mc_dropout: the dropout of {name} ({type(module).__name__}) cannot be frozen")


def _freeze(network: nn.Module, example: Tensors, submodels: int, seed: int) -> dict[nn.Module, nn.Module]:
    shapes: dict[nn.Module, list[tuple[int, ...]]] = {}
    names: dict[nn.Module, str] = {
        module: name
        for name, module in network.named_modules()
        if isinstance(module, (nn.Dropout, *_BY_CHANNEL)) and module.p > 0
    }
    # shapes are known only once rows pass: a dropout layer does not say how wide its input is
    hooks = [
        module.register_forward_pre_hook(
            lambda module, inputs: shapes.setdefault(module, []).append(tuple(inputs[0].shape[1:]))
        )
        for module in names
    ]
    with torch.no_grad():
        network(*each(example))
    for hook in hooks:
        hook.remove()
    frozen: dict[nn.Module, nn.Module] = {}
    for index, (module, seen) in enumerate(shapes.items()):
        # torch takes [B, C] for one sample here, whose channels are the rows
        if isinstance(module, _BY_CHANNEL) and any(len(shape) < 2 for shape in seen):
            raise ValueError(
                f"{names[module]}: {type(module).__name__} takes [B, C] for one sample; use nn.Dropout there"
            )
        features = {shape[:1] if isinstance(module, _BY_CHANNEL) else shape for shape in seen}
        if len(features) > 1:
            raise ValueError(f"{names[module]}: one dropout layer for inputs of several shapes, {sorted(features)}")
        (size,) = features
        if len(size) > 1:
            _log.info(
                "adopt: %s drops single values of a map %s; such masks can only be folded", names[module], list(size)
            )
        rate = float(module.p)  # type: ignore[arg-type]
        # numbered in the order of the forward pass, so that renaming a module changes no mask
        drawn = mask_generator.dropout(size, submodels, rate, (seed, index))
        frozen[module] = FrozenDropout(torch.from_numpy(drawn), rate)
    return frozen


def _freeze_calls(network: nn.Module, example: Tensors, submodels: int, seed: tuple[int, int]) -> list[FrozenDropout]:
    """A mask for each call of a function that drops, in order; the numbers of masks go on from `seed`."""
    seen = []
    for rows in (each(example), tuple(torch.cat([one, one[:1]]) for one in each(example))):
        with assigned(network, torch.zeros(len(rows[0]), dtype=torch.long)):  # a mask of modules needs a submodel
            seen.append((len(rows[0]), dropout_calls(network, rows)))
    (few, calls), (many, again) = seen
    found = []
    for index, call in enumerate(calls):
        name, shape = f"call {index + 1} of {call.name}", call.shape
        if len(again) != len(calls) or (shape[0], again[index].shape) != (few, (many, *shape[1:])):
            raise ValueError(f"mc_dropout: {name} drops from {list(shape)}, which has not the samples on axis 0")
        if call.by_channel and len(shape) < 3:
            raise ValueError(f"mc_dropout: {name} takes [B, C] for one sample; use F.dropout there")
        size = shape[1:2] if call.by_channel else shape[1:]
        drawn = mask_generator.dropout(size, submodels, call.rate, (seed[0], seed[1] + index))
        found.append(FrozenDropout(torch.from_numpy(drawn), call.rate))
    return found
