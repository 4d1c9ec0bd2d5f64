"""Trains, exports and measures the models of a study: one process for each core, with one thread, so that figures do
not depend on the number of cores; on a GPU one after the other. Finished work is kept until something it depends on
changes, which is reported (see `models.benchmark.cache`)."""

import logging
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from app.contract.repository import model_path
from models.benchmark.cache import Kept, read, versions
from models.benchmark.studies import Entry, Exported, Figures, Study
from models.data import Dataset
from models.data.digests import contents_digest, split_digest
from models.training.recipe import Recipe


def work(study: Study, folder: Path, data: Path | None = None) -> dict[str, list[Figures]]:
    """Does what is missing, and returns the figures of every entry by its name, one for each seed in order.

    Args:
        folder: for checkpoints, models and figures; those that are still valid are kept.
        data: the folder with the data set's files and, optionally, those of its corrupted form (`CIFAR-10-C`,
            `ImageNet-C`; otherwise it is generated) and of SVHN.

    Raises:
        CheckpointError: a checkpoint in the folder belongs to another recipe, or to other rows.
        DatasetError: a file is missing or in another format, or the data set has another number of classes.
        ChildProcessError: a process was killed from outside.
    """
    trainings = study.trainings()
    for taught in (False, True):  # teachers come first
        some = {name: run for name, run in trainings.items() if (run[1].teachers > 0) == taught}
        if some:
            _all("train", {name: (_train, study, *run, folder / f"{name}.pt", data) for name, run in some.items()})
    _all(
        "measure",
        {
            f"{entry.name}-{seed}": (_measure, study, entry, seed, folder, data)
            for entry in study.compared
            for seed in entry.seeds
        },
    )
    return {entry.name: [read(_figures(folder, entry, seed)) for seed in entry.seeds] for entry in study.compared}


def repository(folder: Path) -> Path:
    """The model repository in a folder; every model is version 1."""
    return folder / "repository"


def _all(what: str, jobs: Mapping[str, tuple[Any, ...]]) -> None:
    """Runs jobs, each a function and its arguments, in processes and prints what they return; the first failure stops
    all."""
    with (
        # spawn: a forked process shares torch's threads and locks, and may hang on them
        ProcessPoolExecutor(1 if _has_gpu() else _cores(), get_context("spawn"), _begin) as pool,
        tqdm(total=len(jobs), desc=what, unit="") as bar,
    ):
        try:
            running = {pool.submit(*job): name for name, job in jobs.items()}
            for done in as_completed(running):
                if (said := done.result()) is not None:
                    bar.write(f"{running[done]}: {said}")
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
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _begin() -> None:
    import torch

    from models import runtime

    if not _has_gpu():
        # with more threads, sums are split otherwise, and the last digits differ
        torch.set_num_threads(1)
        runtime.threads = 1
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # on torchvision


def _train(study: Study, entry: Entry, recipe: Recipe, checkpoint: Path, data: Path | None) -> None:
    from models.training.trainer import load, train

    teachers = [load(checkpoint.with_name(f"{name}.pt"))[1] for name in study.teachers(entry, recipe)]
    train(recipe, study.seen(entry, data), checkpoint, teachers=teachers, progress=_has_gpu())


def _measure(study: Study, entry: Entry, seed: int, folder: Path, data: Path | None) -> str | None:
    """Exports and measures one model if needed; returns why it had to be done again."""
    dataset, name = study.seen(entry, data), f"{entry.name}-{seed}"
    said = [_export(study, entry, seed, folder, dataset)]
    files = model_path(repository(folder), name, 1).parent.iterdir()
    kept = Kept(
        _figures(folder, entry, seed),
        {
            "model": contents_digest(files),
            "test": split_digest(dataset.test),
            **study.depends_on(entry, data),
            "versions": versions(),
            "gpu": _has_gpu(),  # rounds otherwise
        },
    )
    if not kept.fresh:
        said.append(kept.why_not and f"measured anew: {kept.why_not}")
        figures = study.measure(entry, _exported(repository(folder), name), data)
        recipes = [recipe.plain() for recipe in study.recipes(entry, seed)]
        kept.write({**figures, "recipes": recipes, "seed": seed})
    return "; ".join(filter(None, said)) or None


def _export(study: Study, entry: Entry, seed: int, folder: Path, dataset: Dataset) -> str | None:
    """Exports one model if needed; returns why it had to be done again."""
    from models.export import export
    from models.training.exporting import export_options
    from models.training.trainer import load as load_checkpoint

    name, recipes = f"{entry.name}-{seed}", study.recipes(entry, seed)
    checkpoints = [folder / f"{study.training_name(entry, recipe)}.pt" for recipe in recipes]
    kept = Kept(
        folder / f"{name}.model.json",
        {
            "recipes": [recipe.plain() for recipe in recipes],
            "checkpoints": [contents_digest([path]) for path in checkpoints],
            "calibration": split_digest(dataset.calibration),
            "evaluation": split_digest(dataset.test),
            "seed": seed,
            "versions": versions(),
        },
    )
    version = model_path(repository(folder), name, 1).parent
    if kept.fresh and version.exists():
        return None
    said = kept.why_not and f"exported anew: {kept.why_not}"
    # first the note, then the model: an interruption between them costs an export, never a wrong figure
    kept.remove()
    shutil.rmtree(version, ignore_errors=True)  # versions are never overwritten
    networks = [load_checkpoint(path)[1] for path in checkpoints]
    example, options = export_options(recipes, dataset)
    export(
        networks[0] if len(networks) == 1 else networks,
        example,
        replace(options, seed=seed),
        name=name,
        repository=repository(folder),
        version=1,
    )
    kept.write({})
    return said


def _exported(repository: Path, name: str) -> Exported:
    from models import artefact

    model, contract, _ = artefact.read(repository, name, 1)
    return Exported(model, contract, artefact.read_plans(repository, name, 1))


def _figures(folder: Path, entry: Entry, seed: int) -> Path:
    return folder / f"{entry.name}-{seed}.json"
