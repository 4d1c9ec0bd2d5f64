"""Where `train` writes the checkpoints that `export` reads."""

from pathlib import Path

from app.contract.schema import Method

DEFAULT_METHOD: Method = "masksembles"
FOLDER = Path(__file__).parents[1] / "checkpoints"


def named(dataset: str, method: Method) -> str:
    return dataset if method == DEFAULT_METHOD else f"{dataset}-{method}"


def checkpoint(dataset: str, method: Method) -> Path:
    return FOLDER / f"{named(dataset, method)}.pt"


def checkpoints(dataset: str, method: Method) -> list[Path]:
    """The checkpoints of a model; each network of a deep ensemble has its own file.

    Raises:
        CheckpointError: the first network of a deep ensemble is missing or not finished.
        ValueError: there are fewer networks than its recipe says, or more.
    """
    from models.training import trainer
    from models.training.methods import METHODS

    path, kind = checkpoint(dataset, method), METHODS[method]
    if not kind.several:
        return kind.checkpoints(path, 1)
    (first,) = kind.checkpoints(path, 1)
    count = trainer.load(first)[0].submodels
    wanted = kind.checkpoints(path, count)
    found = [one for one in path.parent.glob(f"{path.stem}-*.pt") if one.stem.rpartition("-")[2].isdecimal()]
    wrong = [f"{one.name} is missing" for one in wanted if one not in found]
    wrong += [f"{one.name} is one too many" for one in sorted(found) if one not in wanted]
    if wrong:
        raise ValueError(f"{first} belongs to a deep ensemble of {count}: {', '.join(wrong)}")
    return wanted
