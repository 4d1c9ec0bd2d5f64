"""Small files in the official formats of data sets."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from models.data.svhn import FILE

Bytes = NDArray[np.uint8]

CIFAR_10 = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def fashion_mnist(folder: Path, part: str, pixels: Bytes, kinds: Bytes) -> None:
    """The two files of a part, `train` or `t10k`, with pixels [B, 28, 28]."""
    (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, *pixels.shape) + pixels.tobytes())
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, len(kinds)) + kinds.tobytes())


def cifar_10_binary(pictures: Bytes, kinds: Bytes) -> bytes:
    """One file of the binary version, with pictures [B, 3, 32, 32]."""
    return b"".join(bytes([kind]) + picture.tobytes() for picture, kind in zip(pictures, kinds))


def cifar_10_c(folder: Path, kinds: tuple[str, ...], pictures: Bytes, labels: Bytes) -> None:
    """A file for each kind of corruption, all the same, with pictures [5·B, 32, 32, 3]."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "labels.npy", labels)
    for kind in kinds:
        np.save(folder / f"{kind}.npy", pictures)


def svhn(folder: Path, pictures: Bytes) -> None:
    """Its file, with pictures [B, 3, 32, 32]."""
    savemat(folder / FILE, {"X": pictures.transpose(2, 3, 1, 0), "y": np.ones((len(pictures), 1))})


def picture(path: Path, width: int = 40, height: int = 30, seed: int = 0, mode: str = "RGB") -> None:
    """A JPEG file: left dark, right bright, upper half red where there is colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    pixels[height // 2 :, :, 1:] = seed
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(path, "JPEG", quality=95)
