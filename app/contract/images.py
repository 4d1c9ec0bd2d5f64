"""Decodes image files (PNG, JPEG, WebP) into the array that a contract declares."""

import io
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from app.contract.axis import Axes
from app.contract.tensor import Tensor

FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow reads dozens, each with a decoder that a hostile file may attack
MAX_PIXELS = 2**25
"""Most pixels of a request's images together, before resizing; the largest image takes some 400 MB while decoded."""

_MODES = {"grey": "L", "rgb": "RGB"}
_BANDS = {"grey": 1, "rgb": 3}
# Pillow's modes; convert would cut 16-bit grey values off at 255 instead of scaling them
_EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

warnings.simplefilter("error", Image.DecompressionBombWarning)  # Pillow raises only at twice its limit


class ImageError(ValueError):
    """A file is no image, or the contract does not accept it; `index` says which of several."""

    index = 0


@cache
def takes_images(given: Tensor) -> bool:
    """Whether an input takes images: its contract names layout and colour, and what black and white are."""
    if given.layout is None or given.colour is None or len(given.layout) != len(given.shape):
        return False
    axes = dict(zip(given.layout, given.shape))
    named = len(axes) == len(given.layout) and axes.keys() - {"C"} == set("BHW")
    scaled = given.dtype == "uint8" or given.range is not None
    return named and scaled and axes.get("C", 1) == _BANDS[given.colour]


def decode(files: Sequence[bytes], given: Tensor, axes: Axes | None = None) -> NDArray[Any]:
    """Decodes images into the rows [B, …] of an input that takes images.

    For float32, black becomes the smallest and white the largest value of the declared range; uint8 stays as it is.
    EXIF data turns the image upright. Colours become grey by ITU-R 601-2, and grey becomes three equal colours. An
    image of another size is resized only if the contract says how; with free axes it keeps its own, and all have one.

    Raises:
        ImageError: a file is no PNG, JPEG or WebP, is damaged, has another size, transparent pixels, more than 8 bits a
            value or more than one frame; or the images together are too large.
    """
    rows: list[NDArray[Any]] = []
    left = MAX_PIXELS  # one budget for all: many large images are as costly as a huge one
    for index, content in enumerate(files):
        try:
            row, pixels = _decode(content, given, axes or {}, left)
            if rows and row.shape != rows[0].shape:
                raise ImageError(
                    "expected images of one size in one request: "
                    f"the first is {_shown(rows[0], given)}, this one {_shown(row, given)} pixels"
                )
        except ImageError as error:
            error.index = index
            raise
        rows.append(row)
        left -= pixels
    return np.stack(rows)


def _shown(row: NDArray[Any], given: Tensor) -> str:
    sizes = dict(zip((given.layout or "").replace("B", ""), row.shape))
    return f"{sizes['W']} × {sizes['H']}"


def _decode(content: bytes, given: Tensor, axes: Axes, most: int) -> tuple[NDArray[Any], int]:
    """Decodes one file; returns a row and how many pixels the file had."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image, given, axes, most)  # open reads the head only: nothing is decoded yet
            size = image.width * image.height
            pixels = _pixels(image, given, axes)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"expected at most {MAX_PIXELS} pixels in all") from None
    except UnidentifiedImageError:
        raise ImageError("expected a PNG, JPEG or WebP file") from None
    except Exception as error:  # nothing documents what a decoder raises on a damaged file
        raise ImageError(f"the image cannot be decoded: {error}") from None
    if given.dtype == "uint8":
        return pixels, size
    low, high = given.range or (0.0, 1.0)
    found: NDArray[np.float32] = np.linspace(low, high, 256).astype(np.float32)[pixels]
    return found, size


def _declared(given: Tensor) -> tuple[int | str, int | str]:
    """Declared width and height: numbers, or the letters of free axes."""
    sizes = dict(zip(given.layout or "", given.shape))
    return sizes["W"], sizes["H"]


def _fits(size: tuple[int, int], given: Tensor, axes: Axes) -> bool:
    """Whether an image of that width and height need not be resized."""
    declared = _declared(given)
    fit = (axes[wanted].takes(has) if isinstance(wanted, str) else wanted == has for wanted, has in zip(declared, size))
    return all(fit) and (declared[0] != declared[1] or isinstance(declared[0], int) or size[0] == size[1])


def _misfit(image: Image.Image, given: Tensor, axes: Axes) -> ImageError:
    wanted = [f"({axes[size].expected})" if isinstance(size, str) else size for size in _declared(given)]
    return ImageError(f"expected {wanted[0]} × {wanted[1]} pixels, got {image.width} × {image.height}")


def _check(image: ImageFile.ImageFile, given: Tensor, axes: Axes, most: int) -> None:
    """Checks the head of a file before its pixels are decoded."""
    turned = image.size[::-1]  # EXIF may turn it
    if given.resize is None and not _fits(image.size, given, axes) and not _fits(turned, given, axes):
        raise _misfit(image, given, axes)
    if image.width * image.height > most:
        raise ImageError(f"expected at most {MAX_PIXELS} pixels in all, got {image.width} × {image.height} here")
    # the mode alone does not tell: Pillow opens 16-bit colours as RGB
    if image.mode not in _EIGHT_BITS or any(";16" in str(tile.args) for tile in image.tile):
        raise ImageError(f"expected 8 bits a value, got an image of mode {image.mode}")
    if getattr(image, "n_frames", 1) != 1 and image.format != "MPO":  # MPO: a JPEG photograph with a preview behind it
        raise ImageError("expected one image, got an animation")


def _pixels(image: Image.Image, given: Tensor, axes: Axes) -> NDArray[Any]:
    """The pixels as uint8, with the axes of the layout except B."""
    upright: Image.Image = image
    ImageOps.exif_transpose(upright, in_place=True)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")  # a palette or one colour may be transparent: only pixels tell
        if upright.getchannel("A").getextrema() != (255, 255):
            raise ImageError("expected an image without transparent pixels")
    upright = upright.convert(_MODES[given.colour or "grey"])
    if not _fits(upright.size, given, axes):
        if given.resize is None:  # the swapped size that _check let pass
            raise _misfit(upright, given, axes)
        width, height = map(int, _declared(given))  # numbers: no contract has both free axes and resize
        if given.resize == "stretch":
            upright = upright.resize((width, height), Image.Resampling.BILINEAR)
        else:
            upright = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(upright).reshape(upright.height, upright.width, -1)
    layout = (given.layout or "").replace("B", "")
    if "C" not in layout:
        return np.ascontiguousarray(pixels[..., 0].transpose(["HW".index(axis) for axis in layout]))
    return np.ascontiguousarray(pixels.transpose(["HWC".index(axis) for axis in layout]))
