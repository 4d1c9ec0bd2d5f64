"""Where `train` puts what `export` takes."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "checkpoints"


def named(dataset: str, method: str) -> str:
    return dataset if method == "masksembles" else f"{dataset}-{method}"


def checkpoint(dataset: str, method: str) -> Path:
    return FOLDER / f"{named(dataset, method)}.pt"


def checkpoints(dataset: str, method: str) -> list[Path]:
    """Where `train` puts what `export` takes: the networks of a deep ensemble each into a file."""
    path = checkpoint(dataset, method)
    if method != "deep-ensemble":
        return [path]
    members = path.parent.glob(f"{path.stem}-*.pt")
    found = sorted((member for member in members if member.stem.rpartition("-")[2].isdecimal()), key=_number)
    if len(found) < 2:
        raise ValueError(f"{path.with_stem(path.stem + '-1')} …: fewer than 2 checkpoints of a deep ensemble")
    return found


def _number(member: Path) -> int:
    return int(member.stem.rpartition("-")[2])
