"""Images as files, PNG, JPEG or WebP, to the array that a contract declares."""

import io
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from app.contract.tensor import Tensor

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 2**25
"""Of all images together that are decoded to be made smaller; the largest takes some 400 MB while it is."""

_MODES = {"grey": "L", "rgb": "RGB"}
_BANDS = {"grey": 1, "rgb": 3}
_EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

warnings.simplefilter("error", Image.DecompressionBombWarning)  # or it would only be printed


class ImageError(ValueError):
    """A file is no image, or not one that the contract takes; `index` says which of several."""

    index = 0


@cache
def takes_images(given: Tensor) -> bool:
    """Whether an input is images: its contract names layout and colour, and what black and white are."""
    if given.layout is None or given.colour is None or len(given.layout) != len(given.shape):
        return False
    axes = dict(zip(given.layout, given.shape))
    named = len(axes) == len(given.layout) and axes.keys() - {"C"} == set("BHW")
    scaled = given.dtype == "uint8" or given.range is not None
    return named and scaled and axes.get("C", 1) == _BANDS[given.colour]


def decode(files: Sequence[bytes], given: Tensor) -> NDArray[Any]:
    """Images as the rows [B, …] of an input that takes images.

    For float32 black becomes the smallest and white the largest value of the declared range; uint8 stays as it is. The
    image is turned upright as its EXIF data says. Colours become grey values by ITU-R 601-2, grey values three equal
    colours. Another size than the declared one is changed only where the contract says how.

    Raises:
        ImageError: no PNG, JPEG or WebP; damaged; too large together, or of another size; with transparent pixels,
            with more than 8 bits a value, or with more than one frame.
    """
    rows = []
    left = MAX_PIXELS
    for index, content in enumerate(files):
        try:
            row, pixels = _decode(content, given, left)
        except ImageError as error:
            error.index = index
            raise
        rows.append(row)
        left -= pixels
    return np.stack(rows)


def _decode(content: bytes, given: Tensor, most: int) -> tuple[NDArray[Any], int]:
    """A row, and how many pixels the file had."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image, given, most)
            size = image.width * image.height
            pixels = _pixels(image, given)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"expected at most {MAX_PIXELS} pixels in all") from None
    except UnidentifiedImageError:
        raise ImageError("expected a PNG, JPEG or WebP file") from None
    except Exception as error:  # what a damaged file makes a decoder raise is nowhere written down
        raise ImageError(f"the image cannot be decoded: {error}") from None
    if given.dtype == "uint8":
        return pixels, size
    low, high = given.range or (0.0, 1.0)
    found: NDArray[np.float32] = np.linspace(low, high, 256).astype(np.float32)[pixels]
    return found, size


def _size(given: Tensor) -> tuple[int, int]:
    """Width and height."""
    axes = dict(zip(given.layout or "", given.shape))
    return int(axes["W"]), int(axes["H"])


def _check(image: ImageFile.ImageFile, given: Tensor, most: int) -> None:
    """What the head of a file tells, before its pixels are decoded."""
    width, height = _size(given)
    if given.resize is None and image.size not in ((width, height), (height, width)):  # EXIF may turn it
        raise ImageError(f"expected {width} × {height} pixels, got {image.width} × {image.height}")
    if image.width * image.height > most:
        raise ImageError(f"expected at most {MAX_PIXELS} pixels in all, got {image.width} × {image.height} here")
    if image.mode not in _EIGHT_BITS or any(";16" in str(tile.args) for tile in image.tile):
        raise ImageError(f"expected 8 bits a value, got an image of mode {image.mode}")
    if getattr(image, "n_frames", 1) != 1 and image.format != "MPO":  # a photograph with a smaller one behind it
        raise ImageError("expected one image, got an animation")


def _pixels(image: Image.Image, given: Tensor) -> NDArray[Any]:
    """uint8, with the axes of the layout but B."""
    upright: Image.Image = image
    ImageOps.exif_transpose(upright, in_place=True)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        if upright.getchannel("A").getextrema() != (255, 255):
            raise ImageError("expected an image without transparent pixels")
    upright = upright.convert(_MODES[given.colour or "grey"])
    size = _size(given)
    if upright.size != size:
        if given.resize == "stretch":
            upright = upright.resize(size, Image.Resampling.BILINEAR)
        elif given.resize == "crop":
            upright = ImageOps.fit(upright, size, Image.Resampling.BILINEAR)
        else:
            raise ImageError(f"expected {size[0]} × {size[1]} pixels, got {upright.width} × {upright.height}")
    pixels = np.asarray(upright).reshape(size[1], size[0], -1)
    layout = (given.layout or "").replace("B", "")
    if "C" not in layout:
        return np.ascontiguousarray(pixels[..., 0].transpose(["HW".index(axis) for axis in layout]))
    return np.ascontiguousarray(pixels.transpose(["HWC".index(axis) for axis in layout]))
