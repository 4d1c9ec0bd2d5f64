"""Masksembles layers for PyTorch, used in place of Dropout, and the ways to run a network that has them.

A layer never guesses which submodel a row belongs to. In training each row meets one submodel, the same in every
layer; for evaluation `submodels` runs each submodel on the whole batch; a caller that tiles its input uses `tiled`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from app.contract.schema import Method
from models import masks as mask_generator
from models.given import each

Tiled = Literal["tiled"]


class Masksembles(nn.Module):
    """Base of the layers: N fixed masks over C channels, saved in the state_dict as boolean `masks` [N, C].

    Args:
        channels: C, the size of axis 1 of the input.
        submodels: N.
        scale: S ≥ 1; 1 keeps every channel. Two masks overlap with an IoU of about 1/(2S − 1).
        seed: of the masks. By default it is drawn from torch's global generator, so that the layers of a network
            differ and `torch.manual_seed` fixes them all.
        align: keep a multiple of this many channels; multiples of 16 make the exported network faster. By default 16
            or 8 where that hardly changes S; see `models.masks.ones_per_mask`.

    In training row i of a batch goes through submodel i mod N, in every layer: in shuffled batches of at least N rows
    every sample meets a random submodel. For smaller or unshuffled batches see `assigned`. Axis 0 must be samples. In
    evaluation mode a plain call raises a RuntimeError; see `submodels` and `tiled`.
    No rescaling: every submodel sees its channels as they are, in training and after.
    """

    masks: Tensor
    ranks: tuple[int, ...] = ()
    method: ClassVar[Method] = "masksembles"

    def __init__(
        self,
        channels: int,
        submodels: int = 4,
        scale: float = 2.0,
        *,
        seed: mask_generator.Seed | None = None,
        align: int | None = None,
    ) -> None:
        super().__init__()
        if seed is None:
            seed = int(torch.randint(2**31, ()))
        # a persistent buffer: weights under other masks are another network, so they are saved together
        drawn = mask_generator.generate(channels, submodels, scale, seed, align=align)
        self.register_buffer("masks", torch.from_numpy(drawn))
        self.scale = scale
        self.selected: int | Tensor | Tiled | None = None

    @classmethod
    def from_masks(cls, masks: Tensor, scale: float) -> Self:
        """A layer with given masks [N, C], taken as they are; anything but 0 keeps a channel."""
        # past __init__, which would draw masks
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer.register_buffer("masks", masks != 0)
        layer.scale = scale
        layer.selected = None
        return layer

    @property
    def factors(self) -> Tensor:
        """What an input is multiplied by, [N, C]: the masks as numbers."""
        return self.masks.float()

    @property
    def submodels(self) -> int:
        """N."""
        return self.masks.shape[0]

    @property
    def channels(self) -> int:
        """C."""
        return self.masks.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """Multiplies each row of x [B, C, …] by the mask of its submodel; shape, dtype and device stay.

        Raises:
            ValueError: x has another rank or number of channels, tiled rows that N does not divide, or another number
                of rows than were assigned.
            RuntimeError: a plain call in evaluation mode.
        """
        if x.ndim not in self.ranks or x.shape[1] != self.channels:
            ranks = " or ".join(str(rank) for rank in self.ranks)
            raise ValueError(
                f"{type(self).__name__} expects an input of {ranks} axes with {self.channels} channels on axis 1, "
                f"got shape {list(x.shape)}"
            )
        # factors take the input's dtype, or float32 masks would turn a float16 network into a float32 one
        masks = self.factors.to(x)
        if isinstance(self.selected, int):
            chosen = masks[self.selected].unsqueeze(0)
        elif self.selected == "tiled":
            if x.shape[0] % self.submodels:
                raise ValueError(
                    f"tiled input has {self.submodels} copies of the batch, but {x.shape[0]} rows do not divide by "
                    f"{self.submodels}"
                )
            # submodel-major, as the export folds: row n·B + b is row b in submodel n
            chosen = masks.repeat_interleave(x.shape[0] // self.submodels, dim=0)
        elif isinstance(self.selected, Tensor):
            if len(self.selected) != len(x):
                raise ValueError(f"{len(self.selected)} rows were assigned to submodels, got {len(x)} rows")
            chosen = masks[self.selected.to(x.device)]
        elif self.training:
            # i mod N and not N blocks, as in the reference: so N need not divide the batch
            chosen = masks[torch.arange(x.shape[0], device=x.device) % self.submodels]
        else:
            raise RuntimeError(
                "a plain call in evaluation mode does not say which submodel each row belongs to: use "
                "models.layers.submodels(network, x), or `with models.layers.tiled(network):` for input that holds "
                f"{self.submodels} copies of the batch one after the other"
            )
        return x * chosen.reshape(*chosen.shape, *[1] * (x.ndim - chosen.ndim))

    def get_extra_state(self) -> Tensor:
        # a tensor, as everything in a state_dict; float64 holds a Python float exactly
        return torch.tensor(self.scale, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.scale = float(state)

    def extra_repr(self) -> str:
        kept = int(self.masks[0].sum())
        return f"{self.channels}, submodels={self.submodels}, scale={self.scale}, kept={kept}"


class Masksembles1d(Masksembles):
    """For x [B, C] or [B, C, L]: in place of `nn.Dropout` after a Linear, or of `nn.Dropout1d`."""

    ranks = (2, 3)


class Masksembles2d(Masksembles):
    """For x [B, C, H, W]: in place of `nn.Dropout2d`."""

    ranks = (4,)


class Masksembles3d(Masksembles):
    """For x [B, C, D, H, W]: in place of `nn.Dropout3d`."""

    ranks = (5,)


class FrozenDropout(Masksembles):
    """Dropout whose masks were drawn once: N submodels of MC-dropout, each kept value times 1/(1 − p).

    Args:
        masks: [N, C] for dropout of channels or features, [N, C, …] for dropout of single values of a map.
        rate: p.
    """

    ranks = (2, 3, 4, 5)
    method: ClassVar[Method] = "mc-dropout"

    def __init__(self, masks: Tensor, rate: float) -> None:
        # past Masksembles.__init__, which would draw masks
        nn.Module.__init__(self)
        self.register_buffer("masks", masks)
        self.rate = rate
        self.scale = 1 / (1 - rate)
        self.selected = None

    @property
    def factors(self) -> Tensor:
        # inverted dropout: the network was trained with kept values times 1/(1 − p)
        return self.masks.float() / (1 - self.rate)

    def extra_repr(self) -> str:
        return f"{list(self.masks.shape[1:])}, submodels={self.submodels}, rate={self.rate}"


class DeepEnsemble(nn.Module):
    """N networks that were trained independently, one for each submodel; they share nothing.

    As with masks, a plain call does not say which submodel each row belongs to: see `submodels`.
    """

    method: ClassVar[Method] = "deep-ensemble"

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.selected: int | Tensor | Tiled | None = None

    @property
    def submodels(self) -> int:
        """N."""
        return len(self.members)

    def forward(self, *inputs: Tensor) -> Any:
        """One member's answer to its inputs [B, …].

        Raises:
            RuntimeError: no submodel was chosen.
        """
        if not isinstance(self.selected, int):
            raise RuntimeError("a deep ensemble is run by models.layers.submodels(network, x)")
        return self.members[self.selected](*inputs)


def layers(network: nn.Module) -> dict[str, Masksembles]:
    """The Masksembles layers of a network by name, in the order of `named_modules`."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Masksembles)}


def count(network: nn.Module) -> int:
    """N of a network; 1 where it has no Masksembles layer and is no deep ensemble.

    Raises:
        ValueError: its layers disagree.
    """
    counts = {name: layer.submodels for name, layer in _choosers(network).items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"all Masksembles layers of a network need the same number of submodels, got {counts}")
    return next(iter(counts.values()), 1)


def method(network: nn.Module) -> Method:
    """How a network gets its submodels; `single` if it has no submodels to choose from."""
    return next((chooser.method for chooser in _choosers(network).values()), "single")


def submodels(network: nn.Module, *inputs: Tensor) -> Tensor:
    """Every submodel's output for every row: inputs [B, …] → [N, B, K, …], one pass for each submodel.

    Raises:
        RuntimeError: the network is in training mode.
        ValueError: its layers disagree about N, or it gives several tensors; see `submodels_by_head`.
    """
    found = submodels_by_head(network, *inputs)
    if len(found) > 1:
        raise ValueError(f"the network gives {len(found)} tensors: use submodels_by_head(network, …)")
    return found[0]


def submodels_by_head(network: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The same for a network that gives a tuple of tensors: [N, B, …] for each.

    Raises:
        RuntimeError: the network is in training mode.
        ValueError: its layers disagree about N.
    """
    if network.training:
        raise RuntimeError("submodels() evaluates: call network.eval() first")
    outputs = []
    for index in range(count(network)):
        with _select(network, index):
            outputs.append(each(network(*inputs)))
    return tuple(map(torch.stack, zip(*outputs, strict=True)))


@contextmanager
def tiled(network: nn.Module) -> Iterator[None]:
    """Within this context, rows are N copies of a batch one after the other, `x.repeat(N, 1, …)`.

    Row n·B + b goes through submodel n; the output [N·B, …] reshapes to [N, B, …].
    """
    count(network)
    with _select(network, "tiled"):
        yield


@contextmanager
def assigned(network: nn.Module, indices: Tensor) -> Iterator[None]:
    """Within this context, row b goes through submodel indices[b], integers [B] from 0 to N − 1, in every layer.

    For training with small or unshuffled batches: `with assigned(network, torch.randint(N, (len(x),))): network(x)`.

    Raises:
        ValueError: an index is not one of the N submodels.
    """
    whole = indices.ndim == 1 and indices.dtype != torch.bool and not indices.is_floating_point()
    if not whole or (len(indices) and not 0 <= indices.min() <= indices.max() < count(network)):
        raise ValueError(f"expected one whole number from 0 to {count(network) - 1} for each row, got {indices}")
    with _select(network, indices.long()):  # indices of type uint8 would be taken for a mask
        yield


def digest(network: nn.Module) -> str:
    """SHA-256 of all masks of a network, in the order of its layers: equal digests mean equal submodels."""
    sha = hashlib.sha256()
    for layer in layers(network).values():
        masks = layer.masks.cpu().numpy()
        # the shape counts, too: [2, 8] and [4, 4] may hold the same bits; little-endian on every machine
        sha.update(np.asarray(masks.shape, dtype="<i8").tobytes() + np.packbits(masks, axis=None).tobytes())
    return sha.hexdigest()


@contextmanager
def _select(network: nn.Module, selected: int | Tensor | Tiled) -> Iterator[None]:
    found = list(_choosers(network).values())
    before = [layer.selected for layer in found]
    for layer in found:
        layer.selected = selected
    try:
        yield
    finally:
        for layer, previous in zip(found, before):
            layer.selected = previous


def _choosers(network: nn.Module) -> dict[str, Masksembles | DeepEnsemble]:
    """The modules that have to know which submodel is selected."""
    return {name: module for name, module in network.named_modules() if isinstance(module, (Masksembles, DeepEnsemble))}
