"""Options shared by several commands, and the parsing of their values."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from app.contract.axis import FreeAxis
from app.contract.repository import DEVICES
from app.contract.schema import Method
from models import artefact
from models.cli.checkpoints import DEFAULT_METHOD

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_method(command: argparse.ArgumentParser) -> None:
    """`--method`."""
    command.add_argument(
        "--method",
        choices=get_args(Method),
        default=DEFAULT_METHOD,
        help=f"default {DEFAULT_METHOD}; a deep ensemble is several trainings",
    )


def add_policy(command: argparse.ArgumentParser) -> None:
    """`--policy`."""
    command.add_argument(
        "--policy",
        metavar="RULES",
        help='what to do with an answer, such as "reject energy>c99, defer entropy>r5": each threshold a number, '
        "pNN (percentile), or cNN or rNN (guarantees a coverage or a risk of NN %%); none for no policy",
    )


def add_guarantees(command: argparse.ArgumentParser) -> None:
    """`--coverages` and `--risks`."""
    command.add_argument(
        "--coverages",
        type=numbers,
        metavar="C,…",
        help="to guarantee, default 0.9,0.95,0.99, and of a regressor's intervals 0.5,0.8,0.9,0.95",
    )
    command.add_argument("--risks", type=numbers, metavar="R,…", help="of a classifier, default 0.01,0.05,0.1")


def add_seed(command: argparse._ActionsContainer, what: str) -> None:
    """`--seed`."""
    command.add_argument("--seed", type=seed, default=0, help=f"{what}, default 0")


def add_rows(command: argparse._ActionsContainer) -> None:
    """`--data` for labelled rows of a model in the repository."""
    command.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="an .npz file with inputs and labels, or the folder of the data set that the model was made with",
    )


def add_repository(command: argparse.ArgumentParser) -> None:
    """`--repository`."""
    command.add_argument(
        "--repository", type=Path, default=artefact.REPOSITORY, help="of models, default models/repository"
    )


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 to 4294967295, got {text!r}")
    return int(text)


def dropout(text: str) -> float:
    found = numbers(text)
    if len(found) != 1 or not 0 <= found[0] < 1:
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more and below 1, got {text!r}")
    return found[0]


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between them, got {text!r}") from None


def shape(text: str) -> tuple[int | str, ...]:
    """A shape with letters for axes of free size."""
    return tuple(size if len(size) == 1 and size.isupper() else positive(size) for size in text.split(","))


def axis(text: str) -> tuple[str, FreeAxis]:
    """The letter of a free axis and its bounds."""
    found = re.fullmatch(r"([A-Z])=(\d+):(\d+)(?::(\d+))?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected LETTER=LEAST:MOST[:MULTIPLE], such as H=32:1024:8, got {text!r}")
    least, most, multiple = (int(number or 1) for number in found.groups()[1:])
    try:
        return found[1], FreeAxis(least=least, most=most, multiple_of=multiple)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.errors()[0]['msg']}") from None


def devices(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(DEVICES):
        raise argparse.ArgumentTypeError(f"expected {' or '.join(DEVICES)}, or both with a comma, got {text!r}")
    return names


def mean_and_std(text: str) -> tuple[list[float], list[float]]:
    try:
        mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected MEAN/STD, such as 0.5/0.25, got {text!r}") from None
    return mean, std


def value_range(text: str) -> tuple[float, float] | list[tuple[float, float]]:
    try:
        ranges = [(float(low), float(high)) for low, high in (pair.split(",") for pair in text.split("/"))]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected LOW,HIGH, such as 0,1, or one a channel, such as 0,1/-40,60, got {text!r}"
        ) from None
    return ranges if len(ranges) > 1 else ranges[0]
