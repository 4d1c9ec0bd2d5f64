"""Random numbers that are the same everywhere for a seed."""

import numpy as np
from numpy.typing import NDArray


class Draws:
    """A stream of numbers, each drawn once; the seed is one whole number or more, none below 0."""

    def __init__(self, *seed: int) -> None:
        # NumPy promises the raw stream of PCG64 for good, not what Generator makes of it
        self._bits = np.random.PCG64(seed)

    def whole(self, least: int, most: int) -> int:
        """A whole number from `least` to `most`, both included."""
        return least + (self._bits.random_raw() * (most - least + 1) >> 64)

    def octets(self, height: int, width: int) -> NDArray[np.uint8]:
        """Uniform in 0 to 255: uint8 [height, width]."""
        count = height * width
        drawn = self._bits.random_raw(-(-count // 8)).astype("<u8")  # the same octets where big ends come first
        return drawn.view(np.uint8)[:count].reshape(height, width)
