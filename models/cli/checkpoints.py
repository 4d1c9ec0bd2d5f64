"""Where `train` puts what `export` takes."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "checkpoints"


def named(dataset: str, method: str) -> str:
    return dataset if method == "masksembles" else f"{dataset}-{method}"


def checkpoint(dataset: str, method: str) -> Path:
    return FOLDER / f"{named(dataset, method)}.pt"


def checkpoints(dataset: str, method: str) -> list[Path]:
    """Where `train` puts what `export` takes: the networks of a deep ensemble each into a file.

    Raises:
        CheckpointError: of a deep ensemble the first network is missing or not finished.
        ValueError: there are fewer networks than it names, or more.
    """
    path = checkpoint(dataset, method)
    if method != "deep-ensemble":
        return [path]
    from models.training import trainer

    first = path.with_stem(f"{path.stem}-1")
    count = trainer.load(first)[0].submodels
    wanted = [path.with_stem(f"{path.stem}-{number}") for number in range(1, count + 1)]
    found = [one for one in path.parent.glob(f"{path.stem}-*.pt") if one.stem.rpartition("-")[2].isdecimal()]
    wrong = [f"{one.name} is missing" for one in wanted if one not in found]
    wrong += [f"{one.name} is one too many" for one in sorted(found) if one not in wanted]
    if wrong:
        raise ValueError(f"{first} belongs to a deep ensemble of {count}: {', '.join(wrong)}")
    return wanted
