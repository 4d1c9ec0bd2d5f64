"""The pictures that tests send, the first of test sets: 500 of Fashion-MNIST and 200 digits; and README's request.

The digits are scikit-learn's (UCI, E. Alpaydin and C. Kaynak, CC BY 4.0), made into a file by
`np.save("tests/data/digits.npy", np.rint(load("digits").test.inputs[:200, 0] * 16).astype(np.uint8))`
with `load` of `models.data`.
"""

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.markdown import README, blocks

DATA = Path(__file__).parent / "data"
REQUEST = DATA / "coat.json"


class Pictures(NamedTuple):
    """Grey values in [0, 1], float32 [B, 1, H, W], and the classes int64 [B] that they show."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


def pictures() -> Pictures:
    """Those of Fashion-MNIST, 28 × 28."""
    pixels = _bytes("fashion-mnist-500-images-idx3-ubyte.gz", header=16).reshape(500, 1, 28, 28)
    labels = _bytes("fashion-mnist-500-labels-idx1-ubyte.gz", header=8)
    return Pictures(pixels.astype(np.float32) / np.float32(255), labels.astype(np.int64))


def digits() -> NDArray[np.float32]:
    """Those of digits, 8 × 8, as float32 [200, 1, 8, 8] in [0, 1]."""
    pixels: NDArray[np.uint8] = np.load(DATA / "digits.npy")
    return pixels[:, None].astype(np.float32) / np.float32(16)


def _bytes(name: str, header: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress((DATA / name).read_bytes()), np.uint8, offset=header)


def readme_answer() -> dict[str, Any]:
    """What README says that the request is answered with."""
    return json.loads(blocks(README, "json")[0].text)


def same_to_three_digits(found: Any, printed: Any) -> bool:
    """Equal, with numbers no further apart than the printed digits allow."""
    if isinstance(printed, dict):
        return found.keys() == printed.keys() and all(same_to_three_digits(found[key], printed[key]) for key in printed)
    if isinstance(printed, list):
        return len(found) == len(printed) and all(map(same_to_three_digits, found, printed))
    if isinstance(printed, float):
        return abs(found - printed) <= 5.1e-4
    return bool(found == printed)
