"""The path from a single network to an ensemble on two noisy sinusoids (the paper's Fig. 4): where each point of it
doubts, on a grid that reaches far beyond the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.contract.repository import list_versions
from app.contract.schema import Method
from models import artefact
from models.benchmark.studies import MEMBERS
from models.data import Dataset, load
from models.evaluation import metrics
from models.export import export
from models.training.recipe import DEFAULTS, Recipe, origin
from models.training.trainer import train

Floats = NDArray[np.floating[Any]]

X, Y = (-15.0, 15.0), (-6.0, 6.0)
"""The grid's corners."""
STEPS = (301, 121)


@dataclass(frozen=True)
class Point:
    """One point of the path."""

    name: str
    label: str
    method: Method
    scale: float = 1.0


PATH = (
    Point("sinusoids-single", "single", "single"),
    *(Point(f"sinusoids-s{s:g}", f"Masksembles, S = {s:g}", "masksembles", s) for s in (1.1, 2.0, 3.0, 10.0)),
    Point("sinusoids-deep-ensemble", "deep ensemble", "deep-ensemble"),
)


def grid() -> Floats:
    """Every point of the grid, float32 [B, 2], rows of equal y one after the other."""
    x, y = np.meshgrid(np.linspace(*X, STEPS[0]), np.linspace(*Y, STEPS[1]))
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def work(folder: Path, store: Path, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Trains, in one thread, and exports every point that is not there yet, and measures it through onnxruntime.

    Returns:
        For each point by name its accuracy, `entropy` on the grid [B], the mean of it far from the data, and the
        submodels' mean pairwise correlation there.
    """
    dataset = load("sinusoids")
    torch.set_num_threads(1)
    return {point.name: _measure(point, dataset, folder, store, seed) for point in PATH}


def _measure(point: Point, dataset: Dataset, folder: Path, store: Path, seed: int) -> dict[str, Any]:
    recipes = _recipes(point, dataset, seed)
    told = origin(recipes)
    if not list_versions(store, point.name) or artefact.read(store, point.name)[1].origin.recipe != told:
        names = [
            f"{'sinusoids-single' if point.method == 'deep-ensemble' else point.name}-{recipe.seed}"
            for recipe in recipes
        ]
        networks = [
            train(recipe, dataset, folder / f"{name}.pt", progress=False) for recipe, name in zip(recipes, names)
        ]
        export(
            **({"networks": networks} if len(networks) > 1 else {"network": networks[0]}),
            example_input=torch.from_numpy(dataset.calibration.inputs[:2]),
            name=point.name,
            repository=store,
            labels=dataset.classes,
            calibration=dataset.calibration,
            evaluation=dataset.test,
            data=dataset.name,
            unit=dataset.unit,
            recipe=told,
        )
    model, _, _ = artefact.read(store, point.name)
    found = artefact.run(model, grid(), ["entropy", "submodels", "logits"])
    far = _far()
    return {
        "label": point.label,
        "accuracy": metrics.accuracy(
            artefact.run(model, dataset.test.inputs, ["probabilities"])["probabilities"], dataset.test.labels
        ),
        "entropy": found["entropy"],
        "far_entropy": float(found["entropy"][far].mean()),
        "far_correlation": _correlation(found["logits"][far]),
    }


def _recipes(point: Point, dataset: Dataset, seed: int) -> list[Recipe]:
    """The trainings behind a point: the ensemble's members are single networks, the first one the single point's."""
    settings: dict[str, Any] = {
        **DEFAULTS["sinusoids"],
        "data": dataset.name,
        "input_shape": (2,),
        "classes": 2,
        "submodels": MEMBERS,
    }
    if point.method == "masksembles":
        return [Recipe(**settings, scale=point.scale, seed=seed)]
    seeds = range(seed * MEMBERS, seed * MEMBERS + (MEMBERS if point.method == "deep-ensemble" else 1))
    return [Recipe(**settings, method="single", scale=1.0, seed=own) for own in seeds]


def _far() -> NDArray[np.bool_]:
    """Which points of the grid lie beyond where data is: |x| above 7."""
    found: NDArray[np.bool_] = np.abs(grid()[:, 0]) > 7
    return found


def _correlation(logits: Floats) -> float:
    """Mean Pearson correlation of the submodels' margins between the two classes, logits [B, N, 2], over all pairs."""
    margins = (logits[:, :, 1] - logits[:, :, 0]).astype(np.float64)
    if margins.shape[1] < 2:
        return 1.0
    first, second = np.triu_indices(margins.shape[1], k=1)
    return float(np.atleast_2d(np.corrcoef(margins.T))[first, second].mean())


def draw(figures: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """One picture with the entropy of every point of the path, low violet to high yellow, and the data."""
    from matplotlib.figure import Figure

    dataset = load("sinusoids")
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for plot, point in zip(axes.flat, PATH):
        entropy = np.asarray(figures[point.name]["entropy"]).reshape(STEPS[::-1])
        shown = plot.imshow(
            entropy, origin="lower", extent=(*X, *Y), aspect="auto", cmap="viridis", vmin=0, vmax=np.log(2)
        )
        for label, colour in enumerate(("tab:red", "tab:blue")):
            rows = dataset.train.inputs[dataset.train.labels == label][:150]
            plot.scatter(rows[:, 0], rows[:, 1], s=2, color=colour)
        plot.set_title(point.label)
    figure.colorbar(shown, ax=axes, label="entropy, nats")
    figure.savefig(path, dpi=80)
