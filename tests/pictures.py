"""The first 500 pictures of Fashion-MNIST's test set, and the request that README posts."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.data import Split
from models.data.idx import read_idx

DATA = Path(__file__).parent / "data"
REQUEST = DATA / "coat.json"


def pictures() -> Split:
    """Grey values in [0, 1], float32 [500, 1, 28, 28], and their labels."""
    pixels = read_idx(DATA / "fashion-mnist-500-images-idx3-ubyte.gz", (500, 28, 28))
    labels = read_idx(DATA / "fashion-mnist-500-labels-idx1-ubyte.gz", (500,))
    return Split(pixels[:, None].astype(np.float32) / np.float32(255), labels.astype(np.int64))


def readme_blocks(language: str) -> list[str]:
    """The code blocks of README in a language."""
    text = (Path(__file__).parents[1] / "README.md").read_text()
    return [block.partition("```")[0] for block in text.split(f"```{language}\n")[1:]]


def readme_answer() -> dict[str, Any]:
    """What README says that the request is answered with."""
    return json.loads(readme_blocks("json")[0])


def same_to_three_digits(found: Any, printed: Any) -> bool:
    """Equal, with numbers no further apart than the printed digits allow."""
    if isinstance(printed, dict):
        return found.keys() == printed.keys() and all(same_to_three_digits(found[key], printed[key]) for key in printed)
    if isinstance(printed, list):
        return len(found) == len(printed) and all(map(same_to_three_digits, found, printed))
    if isinstance(printed, float):
        return abs(found - printed) <= 5.1e-4
    return bool(found == printed)
