"""The part of `make bench-formats` on maps: what one of 512×512 costs as a PNG picture, from the array to the file.

Beside each is what Pillow takes for the same pixels, with its defaults and with the strategy that we chose; making
pixels of a score's values is not in that. Cells that know nothing of each other are the worst case.
"""

import io
import math
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from app.api.predict import pictures
from app.api.predict.pictures import MapRange

CLASSES, SIZE, REPEATS = 11, 512, 60
NOISES = {"smooth": 0.0, "noisy": 0.3, "random": math.inf}
"""Standard deviation of the logits' noise from cell to cell; their own is about 4."""
Row = dict[str, Any]


def maps(noise: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Classes and entropies [H, W] of a made-up segmentation."""
    torch.manual_seed(0)
    if math.isinf(noise):
        return torch.randint(CLASSES, (SIZE, SIZE)).numpy(), (math.log(CLASSES) * torch.rand(SIZE, SIZE)).numpy()
    coarse = 6 * torch.randn(1, CLASSES, 12, 12)
    logits = interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=False)[0]
    logits += noise * torch.randn(logits.shape)
    entropies = torch.distributions.Categorical(logits=logits.movedim(0, -1)).entropy()
    return logits.argmax(0).numpy(), entropies.numpy()


def cost(write: Callable[[], bytes]) -> tuple[float, float]:
    """Milliseconds of a core, the best of many, and kilobytes."""
    best = math.inf
    for _ in range(REPEATS):
        began = time.thread_time()
        file = write()
        best = min(best, time.thread_time() - began)
    return 1000 * best, len(file) / 1000


def by_pillow(file: bytes, **options: int) -> Callable[[], bytes]:
    """Writes the same picture with Pillow."""
    image = Image.open(io.BytesIO(file))
    image.load()

    def write() -> bytes:
        stream = io.BytesIO()
        image.save(stream, "PNG", **options)
        return stream.getvalue()

    return write


def ways(noise: float) -> dict[str, Callable[[], bytes]]:
    """Each kind of picture of such maps."""
    classes, entropies = maps(noise)
    bounds = MapRange(0, math.log(CLASSES))
    return {
        "classes": lambda: pictures.of_classes(classes, CLASSES, "prediction"),
        "grey, 8": lambda: pictures.grey(entropies, "entropy", bounds).png,
        "grey, 16": lambda: pictures.grey(entropies, "entropy", bounds, bits=16).png,
        "viridis": lambda: pictures.coloured(entropies, "entropy", bounds).png,
    }


def measure() -> list[Row]:
    """Prints a row for each kind of picture and map, and returns them."""
    print(f"\n{'picture':8} {'map':6} {'kB':>6} {'ms':>6}   Pillow: {'kB':>6} {'ms':>6} {'kB, RLE':>8} {'ms, RLE':>8}")
    found: list[Row] = []
    for name, noise in NOISES.items():
        for picture, write in ways(noise).items():
            row = dict(zip(("ms", "kB"), cost(write)))
            row |= zip(("pillow_ms", "pillow_kB"), cost(by_pillow(write())))
            row |= zip(("pillow_rle_ms", "pillow_rle_kB"), cost(by_pillow(write(), compress_type=zlib.Z_RLE)))
            found.append({"picture": picture, "map": name, **{key: round(value, 1) for key, value in row.items()}})
            print(
                f"{picture:8} {name:6} {row['kB']:6.0f} {row['ms']:6.1f}           {row['pillow_kB']:6.0f} "
                f"{row['pillow_ms']:6.1f} {row['pillow_rle_kB']:8.0f} {row['pillow_rle_ms']:8.1f}"
            )
    return found
