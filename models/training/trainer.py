"""Trains a network on a data set: seeded, resumable after every epoch. In a step every sample meets a random submodel,
or all of them if the recipe says so; it learns their labels, or what other networks answer."""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.data import Dataset, DatasetError
from models.data.digests import split_digest
from models.training.batches import Batches
from models.training.recipe import Recipe
from models.training.repetition import mean_prediction, repeated
from models.training.tasks import TASKS
from models.training.teachers import Teachers

_FORMAT = 2
"""Format of checkpoints; in format 1 the fields of a recipe had other names."""


_SECONDS_A_LINE = 10
"""Between lines about epochs, where there is no terminal for a bar."""

_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, in another format, or was made by another recipe."""


def train(
    recipe: Recipe, dataset: Dataset, checkpoint: Path, *, teachers: Sequence[nn.Module] = (), progress: bool = True
) -> nn.Module:
    """Trains for `recipe.epochs` epochs, on a GPU if there is one, and returns the network in evaluation mode.

    The checkpoint is written after each epoch. If one exists for the same recipe, rows and teachers, training resumes
    from it and ends with the same weights as an uninterrupted run.

    Args:
        teachers: the networks that the recipe counts; they are left in evaluation mode.

    Raises:
        CheckpointError: the checkpoint belongs to another recipe, to other rows or teachers, or is no checkpoint.
        DatasetError: there are no rows to train on.
        ValueError: the recipe's network cannot be built or repeats no rows, or expects other teachers.
    """
    if not len(dataset.train):
        raise DatasetError(f"{dataset.name}: the training split has no rows")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, task, batches = recipe.build(), TASKS[recipe.task], Batches(recipe, dataset.train)
    task.fit_scaling(network, batches)
    taught = Teachers(recipe, teachers, device)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # two thirds of the time on a CPU
    # cuDNN would time its algorithms and take another one in another run, with other rounding
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    checkpoint.parent.mkdir(parents=True, exist_ok=True)  # now, not after the first epoch
    steps = len(batches)
    optimiser = _optimiser(recipe, network)
    schedule = _schedule(recipe, optimiser, steps)
    data, done = split_digest(dataset.train), 0
    if checkpoint.exists():
        state = _read(checkpoint)
        if Recipe.read(state["recipe"]).plain() != recipe.plain():  # fields that it lacks have their defaults
            raise CheckpointError(
                f"{checkpoint} was made by another recipe ({_difference(state['recipe'], recipe.plain())}): "
                "choose another checkpoint or remove this one"
            )
        if state["data"] != data:
            raise CheckpointError(
                f"{checkpoint} was trained on other rows of {recipe.data}: choose another checkpoint or remove this one"
            )
        if state.get("teachers", "") != taught.digest:
            raise CheckpointError(f"{checkpoint} had other teachers: choose another checkpoint or remove this one")
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        done = state["epochs_done"]

    terminal, told = sys.stderr.isatty(), time.monotonic()
    bar = tqdm(total=recipe.epochs * steps, initial=done * steps, unit="step", disable=not progress or not terminal)
    for epoch in range(done, recipe.epochs):
        network.train()
        total = torch.zeros((), device=device)  # summed there: reading a loss waits for the GPU
        for inputs, labels in batches.epoch(epoch):
            inputs, labels = inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            found = repeated(network, inputs) if recipe.repeats > 1 else network(inputs)
            targets = taught.targets(inputs, labels)
            loss = task.loss(network, found, targets)
            if recipe.joint:
                together = mean_prediction(found, recipe.repeats)
                loss = loss.lerp(task.loss(network, together, targets[: len(together)]), recipe.joint)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.detach()
            bar.update()
        loss_now = float(total) / steps
        bar.set_postfix(epoch=f"{epoch + 1}/{recipe.epochs}", loss=f"{loss_now:.4f}")
        if progress and not terminal and (time.monotonic() - told > _SECONDS_A_LINE or epoch + 1 == recipe.epochs):
            _log.info("train: epoch %d of %d, loss %.4f", epoch + 1, recipe.epochs, loss_now)
            told = time.monotonic()
        _write(
            checkpoint,
            {
                "format": _FORMAT,
                "recipe": recipe.plain(),
                "data": data,
                "teachers": taught.digest,
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "epochs_done": epoch + 1,
            },
        )
    bar.close()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network.cpu().eval()


def _optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    kind: Any = torch.optim.AdamW
    more = {}
    if recipe.optimiser == "sgd":
        kind, more = torch.optim.SGD, {"momentum": 0.9, "nesterov": True}
    made: torch.optim.Optimizer = kind(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, **more
    )
    return made


def _schedule(recipe: Recipe, optimiser: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.milestones:
        # the schedule steps with every batch
        at = [epoch * steps for epoch in recipe.milestones]
        return torch.optim.lr_scheduler.MultiStepLR(optimiser, at, recipe.decay)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=max(steps * recipe.epochs, 1)
    )


def load(checkpoint: Path) -> tuple[Recipe, nn.Module]:
    """The recipe and the network, in evaluation mode, of a finished training.

    Raises:
        CheckpointError: missing, damaged, in another format, or the training was not finished.
    """
    if not checkpoint.exists():
        raise CheckpointError(f"{checkpoint}: no such checkpoint; `python -m models train` makes one")
    state = _read(checkpoint)
    recipe = Recipe.read(state["recipe"])
    if state["epochs_done"] < recipe.epochs:
        raise CheckpointError(
            f"{checkpoint}: training stopped after {state['epochs_done']} of {recipe.epochs} epochs; "
            "run the same `train` command again to finish it"
        )
    network = recipe.build()
    network.load_state_dict(state["network"])
    return recipe, network.eval()


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    return ", ".join(f"{name} {theirs.get(name)!r}, asked for {ours.get(name)!r}" for name in names)


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        # weights_only: a pickle could run code; on the CPU, since it may come from a machine with a GPU
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    except Exception as error:  # the unpickler raises whatever it stumbles over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{checkpoint}: not a readable checkpoint ({reason})") from error
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError(f"{checkpoint}: not a checkpoint of `python -m models train`")
    if state["format"] != _FORMAT:
        raise CheckpointError(f"{checkpoint}: of format {state['format']}, expected {_FORMAT}; train anew")
    return state


def _write(checkpoint: Path, state: dict[str, Tensor | Any]) -> None:
    part = checkpoint.with_name(checkpoint.name + ".part")
    torch.save(state, part)
    # atomic: an interruption leaves the last whole checkpoint
    os.replace(part, checkpoint)
