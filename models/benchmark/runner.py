"""Trains, exports and measures what a study says: as many at once as there are cores, each with one thread, so that the
figures do not depend on how many cores there are; on a GPU one after the other. What is done is not done again."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.contract.repository import model_path
from models.benchmark.studies import MEMBERS, Entry, Study
from models.data import Dataset, DatasetError, Split, load
from models.data.corrupted import Corrupted, cifar10_c, generated, imagenet_c
from models.data.ood import held_out, ood_inputs
from models.data.svhn import FILE, svhn
from models.training.recipe import Recipe, origin

Figures = dict[str, Any]


def work(study: Study, folder: Path, data: Path | None = None) -> dict[str, list[Figures]]:
    """Does what is not done yet and gives the figures of every entry by its name, one for each seed in order.

    Args:
        folder: for checkpoints, models and figures; what lies there is not made again.
        data: the folder with the data set's files, and where there are such, those of its corrupted form
            (`CIFAR-10-C`, `ImageNet-C`; else it is generated) and of SVHN.

    Raises:
        CheckpointError: a checkpoint in the folder is that of another recipe.
        DatasetError: a file is missing or foreign, or the data set has another number of classes.
        ChildProcessError: a process was ended from outside.
    """
    _all(
        "train",
        {
            name: (_train, study, entry, recipe, folder / f"{name}.pt", data)
            for name, (entry, recipe) in study.trainings().items()
        },
    )
    _all(
        "measure",
        {
            f"{entry.name}-{seed}": (_measure, study, entry, seed, folder, data)
            for entry in study.compared
            for seed in entry.seeds
        },
    )
    return {
        entry.name: [json.loads(_figures(folder, entry, seed).read_text()) for seed in entry.seeds]
        for entry in study.compared
    }


def store(folder: Path) -> Path:
    """Where the models of a folder lie, each as version 1."""
    return folder / "store"


def _all(what: str, jobs: Mapping[str, tuple[Any, ...]]) -> None:
    """Runs jobs, function and arguments by name, in processes; the first failure ends it all."""
    with (
        ProcessPoolExecutor(1 if _has_gpu() else _cores(), get_context("spawn"), _begin) as pool,
        tqdm(total=len(jobs), desc=what, unit="") as bar,
    ):
        try:
            running = {pool.submit(*job): name for name, job in jobs.items()}
            for done in as_completed(running):
                done.result()
                bar.set_postfix_str(running[done])
                bar.update()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"{what}: a process was ended from outside, perhaps for want of memory; what is done is kept, run the "
                "same command again to go on"
            ) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _begin() -> None:
    import torch

    from models import artefact

    if not _has_gpu():
        torch.set_num_threads(1)
        artefact.threads = 1
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # on torchvision


@cache
def _load(name: str, folder: Path | None) -> Dataset:
    return load(name, folder)


def _seen(study: Study, entry: Entry, folder: Path | None) -> Dataset:
    """The data set as an entry sees it."""
    dataset = _load(study.data, folder)
    if len(dataset.classes) != study.classes:
        raise DatasetError(f"{study.data}: expected {study.classes} classes, got {len(dataset.classes)}")
    return held_out(dataset, study.held_out)[0] if entry.held_out else dataset


def _ood(study: Study, entry: Entry, folder: Path | None) -> dict[str, Any]:
    """Out-of-distribution inputs by name."""
    dataset = _load(study.data, folder)
    if entry.held_out:
        return {"held-out classes": held_out(dataset, study.held_out)[1].inputs}
    found = ood_inputs(dataset)
    if study.data == "cifar-10" and folder is not None and (folder / FILE).exists():
        found = {"SVHN": svhn(folder), **found}
    return found


def _corrupted(study: Study, entry: Entry, dataset: Dataset, folder: Path | None) -> Corrupted:
    if entry.held_out:
        return iter(())
    official = {"cifar-10": ("CIFAR-10-C", cifar10_c), "imagenet": ("ImageNet-C", imagenet_c)}
    if study.data in official and folder is not None:
        name, read = official[study.data]
        if (folder / name).is_dir():
            return read(folder / name)
    rows = slice(study.corrupted_rows)
    test = dataset.test
    if study.corrupted_rows is not None:
        test = Split(test.inputs[rows], test.labels[rows])
    return generated(test, study.family)


def _train(study: Study, entry: Entry, recipe: Recipe, checkpoint: Path, data: Path | None) -> None:
    from models.training.trainer import train

    train(recipe, _seen(study, entry, data), checkpoint, progress=_has_gpu())


def _measure(study: Study, entry: Entry, seed: int, folder: Path, data: Path | None) -> None:
    from models import artefact
    from models.benchmark.cost import macs, weights
    from models.evaluation.answers import Respondent
    from models.evaluation.measurement import measure

    target = _figures(folder, entry, seed)
    recipes = study.recipes(entry, seed)
    plain = [recipe.plain() for recipe in recipes]
    if target.exists() and json.loads(target.read_text())["recipes"] == plain:
        return
    dataset = _seen(study, entry, data)
    name = f"{entry.name}-{seed}"
    path = model_path(store(folder), name, 1)
    if path.exists() and artefact.read(store(folder), name, 1)[1].origin.recipe != origin(recipes):
        shutil.rmtree(path.parent)  # a checkpoint was removed to be made by another recipe
    if not path.exists():
        _export(study, entry, seed, folder, dataset)
    model, contract, _ = artefact.read(store(folder), name, 1)
    plans = artefact.read_plans(store(folder), name, 1)
    respondent = Respondent(artefact.served(model, plans), contract)
    ood = {name: respondent.outputs(rows) for name, rows in _ood(study, entry, data).items()}
    corrupted = respondent.answer_corrupted(_corrupted(study, entry, dataset, data))
    figures = measure(contract, respondent.answer(dataset.test), ood, corrupted)
    figures |= {
        "recipes": plain,
        "seed": seed,
        "macs": macs([contract, *(other for _, other in plans.values())]),
        "weights": weights(model),
    }
    part = target.with_suffix(".part")
    part.write_text(json.dumps(figures))
    part.rename(target)


def _export(study: Study, entry: Entry, seed: int, folder: Path, dataset: Dataset) -> None:
    import torch

    from models.export import export
    from models.training.trainer import load as load_checkpoint

    recipes = study.recipes(entry, seed)
    networks = [load_checkpoint(folder / f"{study.training_name(entry, recipe)}.pt")[1] for recipe in recipes]
    export(
        **({"networks": networks} if len(networks) > 1 else {"network": networks[0]}),
        example_input=torch.from_numpy(dataset.calibration.inputs[:2]),
        name=f"{entry.name}-{seed}",
        repository=store(folder),
        labels=dataset.classes,
        normalise=recipes[0].normalise,
        calibration=dataset.calibration,
        evaluation=dataset.test,
        data=dataset.name,
        value_range=dataset.value_range,
        unit=dataset.unit,
        layout=dataset.layout,
        colour="grey" if study.input_shape[0] == 1 else "rgb",
        mc_dropout=MEMBERS if entry.method == "mc-dropout" else None,
        seed=seed,
        recipe=origin(recipes),
    )


def _figures(folder: Path, entry: Entry, seed: int) -> Path:
    return folder / f"{entry.name}-{seed}.json"
