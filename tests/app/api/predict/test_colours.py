from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.api.predict.colours import CLASSES, VIRIDIS

OKABE_ITO = "000000 E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7"
EYES = [
    np.eye(3),
    # severity 1 of Machado et al. (2009), on linear RGB: protanopia, deuteranopia
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
]
# https://bottosson.github.io/posts/oklab/
LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def seen(colours: NDArray[Any]) -> NDArray[np.float64]:
    """8-bit sRGB colours [n, 3] in OKLab, for each of EYES [3, n, 3]."""
    values = colours / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.stack([np.cbrt(np.clip(linear @ eye.T, 0, 1) @ LMS.T) @ LAB.T for eye in EYES])


def table(palette: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(palette, np.uint8).reshape(256, 3)


def test_classes_begin_with_colours_for_everybody_and_all_differ() -> None:
    assert CLASSES[: 3 * 8] == bytes.fromhex(OKABE_ITO)
    assert len(np.unique(table(CLASSES), axis=0)) == 256


def test_the_colour_of_a_further_class_is_the_farthest_from_all_before() -> None:
    levels = np.arange(0, 256, 17)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness = seen(grid)[0, :, 0]
    grid = grid[(lightness >= 0.4) & (lightness <= 0.95)]
    places, chosen = seen(grid), seen(table(CLASSES))
    nearest = np.full(len(grid), np.inf)
    for index, colour in enumerate(table(CLASSES)):
        if index >= 8:
            own = nearest[(grid == colour).all(axis=1)]
            assert own == pytest.approx(nearest.max(), abs=1e-9), index
        apart = np.linalg.norm(places - chosen[:, index, None], axis=-1).min(axis=0)
        nearest = np.minimum(nearest, apart)


@pytest.mark.parametrize(("classes", "apart"), [(16, 0.07), (32, 0.06), (256, 0.017)])
def test_no_eye_takes_two_classes_for_one(classes: int, apart: float) -> None:
    first = seen(table(CLASSES))[:, :classes]
    between = np.linalg.norm(first[:, :, None] - first[:, None], axis=-1)
    assert between[:, ~np.eye(classes, dtype=bool)].min() > apart


def test_viridis_is_matplotlibs() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    assert np.array_equal(table(VIRIDIS), np.rint(255 * np.array(matplotlib.colormaps["viridis"].colors)))
