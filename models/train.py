"""Trains a network on a data set: seeded, resumable after every epoch, with every sample in one random submodel."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.data import Dataset
from models.networks import BUILDERS

_FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, foreign, or was made by another recipe."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training yields, beside the library versions."""

    data: str
    network: str
    input_shape: tuple[int, ...]
    classes: int
    submodels: int = 4
    scale: float = 2.0
    align: int = 16
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 5e-2
    flip: bool = False
    """Mirror half of the pictures, anew in each epoch."""
    seed: int = 0

    def build(self) -> nn.Module:
        """The untrained network: the same weights and masks for the same recipe."""
        torch.manual_seed(self.seed)
        return BUILDERS[self.network](
            self.input_shape,
            self.classes,
            submodels=self.submodels,
            scale=self.scale,
            seed=self.seed,
            align=self.align,
        )


# What `train DATA` does when nothing else is asked for.
DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"network": "mlp", "epochs": 60, "batch_size": 64},
    "fashion-mnist": {"network": "cnn", "epochs": 20, "flip": True},
}


def train(recipe: Recipe, dataset: Dataset, checkpoint: Path, *, progress: bool = True) -> nn.Module:
    """Trains until `recipe.epochs` are done and returns the network in evaluation mode.

    The checkpoint is written after each epoch; where it exists and holds the same recipe, training goes on from
    there and ends with the same weights as an undisturbed run.

    Raises:
        CheckpointError: the checkpoint belongs to another recipe or is no checkpoint.
    """
    network = recipe.build()
    checkpoint.parent.mkdir(parents=True, exist_ok=True)  # now, not after the first epoch
    steps = -(-len(dataset.train) // recipe.batch_size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=max(steps * recipe.epochs, 1)
    )
    done = 0
    if checkpoint.exists():
        state = _read(checkpoint)
        if state["recipe"] != plain(recipe):
            raise CheckpointError(
                f"{checkpoint} was made by another recipe ({_difference(state['recipe'], plain(recipe))}): "
                "choose another checkpoint or remove this one"
            )
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        done = state["epochs_done"]

    inputs, labels = torch.from_numpy(dataset.train.inputs), torch.from_numpy(dataset.train.labels)
    bar = tqdm(total=recipe.epochs * steps, initial=done * steps, unit="step", disable=not progress)
    for epoch in range(done, recipe.epochs):
        network.train()
        torch.manual_seed(recipe.seed * 100_003 + epoch + 1)  # an epoch does not depend on those before it
        total = 0.0
        for rows in torch.randperm(len(labels)).split(recipe.batch_size):
            batch = inputs[rows]
            if recipe.flip:
                mirrored = torch.rand(len(rows)) < 0.5
                batch[mirrored] = batch[mirrored].flip(-1)
            loss = F.cross_entropy(network(batch), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
            bar.update()
        bar.set_postfix(epoch=f"{epoch + 1}/{recipe.epochs}", loss=f"{total / steps:.4f}")
        _write(
            checkpoint,
            {
                "format": _FORMAT,
                "recipe": plain(recipe),
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "epochs_done": epoch + 1,
            },
        )
    bar.close()
    return network.eval()


def load(checkpoint: Path) -> tuple[Recipe, nn.Module]:
    """The recipe and the network, in evaluation mode, of a finished training.

    Raises:
        CheckpointError: missing, damaged, foreign, or the training was not finished.
    """
    if not checkpoint.exists():
        raise CheckpointError(f"{checkpoint}: no such checkpoint; `python -m models train` makes one")
    state = _read(checkpoint)
    values = state["recipe"]
    recipe = Recipe(**{**values, "input_shape": tuple(values["input_shape"])})
    if state["epochs_done"] < recipe.epochs:
        raise CheckpointError(
            f"{checkpoint}: training stopped after {state['epochs_done']} of {recipe.epochs} epochs; "
            "run the same `train` command again to finish it"
        )
    network = recipe.build()
    network.load_state_dict(state["network"])
    return recipe, network.eval()


def plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON has it."""
    return {**asdict(recipe), "input_shape": list(recipe.input_shape)}


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    return ", ".join(f"{name} {theirs.get(name)!r}, asked for {ours.get(name)!r}" for name in names)


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        state = torch.load(checkpoint, weights_only=True)
    except Exception as error:  # the unpickler raises whatever it stumbles over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{checkpoint}: not a readable checkpoint ({reason})") from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise CheckpointError(f"{checkpoint}: not a checkpoint of `python -m models train`")
    return state


def _write(checkpoint: Path, state: dict[str, Tensor | Any]) -> None:
    part = checkpoint.with_name(checkpoint.name + ".part")
    torch.save(state, part)
    os.replace(part, checkpoint)
