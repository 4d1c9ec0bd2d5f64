"""A few inputs of each shipped data set to begin with: test rows, and some that are unlike the training data."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import Dataset, Split
from models.data.diabetes import diabetes
from models.data.digits import digits
from models.data.fashion_mnist import fashion_mnist
from models.data.ood import digits_28
from models.data.scenes import compose, with_digits
from models.data.sinusoids import sinusoids

FILE = "examples.json"
_WORDS = {
    "thoughtful": "English",
    "donaudampfschiff": "German",
    "aujourd'hui": "French, with a letter that it does not know",
    "mañana": "Spanish",
    "gelato": "Italian",
    "gezellig": "Dutch",
    "smörgås": "Swedish",
    "saudade": "Portuguese",
    "animal": "the same in several languages",
    "źdźbło": "Polish, which it has never seen",
}
"""Ours, not a list's."""
HARD = 1846
"""A test row of Fashion-MNIST on which the submodels of the shipped model contradict each other."""


def write(folder: Path, address: str, data: Path | None = None) -> list[Path]:
    """Writes pictures as PNG, and `examples.json`: by data set, `pictures` with name and file, `texts`, `rows` or
    `points` of a plane.

    Args:
        address: what stands before the names of files in it.
        data: the folder with Fashion-MNIST's files.

    Raises:
        DatasetError: a data set is not available.
    """
    written: list[Path] = []

    def pictures(data: str, named: Iterable[tuple[str, NDArray[np.uint8]]]) -> list[dict[str, str]]:
        found = []
        for at, (name, pixels) in enumerate(named):
            path = folder / f"{data}-{at}.png"
            Image.fromarray(pixels).save(path, optimize=True)
            written.append(path)
            found.append({"name": name, "file": f"{address}{path.name}"})
        return found

    folder.mkdir(parents=True, exist_ok=True)
    fashion = fashion_mnist(data)
    examples: dict[str, dict[str, Any]] = {
        "fashion-mnist": {"pictures": pictures("fashion-mnist", _garments(fashion))},
        "digits": {"pictures": pictures("digits", _firsts(digits(None)))},
        "scenes": {"pictures": pictures("scenes", _scenes(fashion.test))},
        "languages": {"texts": [{"text": text, "name": name} for text, name in _WORDS.items()]},
        "diabetes": {"rows": _rows(diabetes(None))},
        "sinusoids": {"points": _points(sinusoids(None))},
    }
    listed = folder / FILE
    listed.write_text(json.dumps(examples, ensure_ascii=False, indent=1) + "\n")
    return [*written, listed]


def _grey(row: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture of a row [1, H, W] of values from 0 to 1."""
    pixels: NDArray[np.uint8] = np.rint(row[0] * 255).astype(np.uint8)
    return pixels


def _firsts(dataset: Dataset) -> list[tuple[str, NDArray[np.uint8]]]:
    """The first test row of each class."""
    labels: list[int] = dataset.test.labels.tolist()
    return [(name, _grey(dataset.test.inputs[labels.index(at)])) for at, name in enumerate(dataset.classes)]


def _garments(fashion: Dataset) -> list[tuple[str, NDArray[np.uint8]]]:
    """A bag that is hard to tell first, one of each class, and a digit."""
    return [
        ("a bag that is hard to tell", _grey(fashion.test.inputs[HARD])),
        *reversed(_firsts(fashion)),
        ("a digit, which it has never seen", _grey(digits_28()[3])),
    ]


def _scenes(pictures: Split) -> list[tuple[str, NDArray[np.uint8]]]:
    made = compose(pictures, 3, 64, 96, seed=5)
    strange = with_digits(made.take(slice(2, 3)), seed=5)
    return [
        *((f"scene {at + 1}", row[0]) for at, row in enumerate(made.inputs)),
        ("scene 3 with digits, which it has never seen", strange.inputs[0, 0]),
    ]


def _rows(dataset: Dataset) -> list[dict[str, Any]]:
    rows = [[round(float(value), 4) for value in row] for row in dataset.test.inputs[:3]]
    typo = [*rows[0][:3], rows[0][3] * 10, *rows[0][4:]]
    named = [*((f"patient {at + 1}", row) for at, row in enumerate(rows)), ("patient 1, pressure in other units", typo)]
    return [{"name": name, "values": values} for name, values in named]


def _points(dataset: Dataset) -> list[dict[str, Any]]:
    split = dataset.train
    return [
        {"values": [round(float(value), 2) for value in row], "label": dataset.classes[label]}
        for row, label in zip(split.inputs[:200], split.labels[:200].tolist())
    ]
