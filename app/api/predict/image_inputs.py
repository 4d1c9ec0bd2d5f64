"""Rows as pictures."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from app.api import json_arrays
from app.api.predict.input_rows import InputRows
from app.contract import images
from app.contract.tensor import Tensor
from app.errors import InvalidInput

TYPES = ("image/png", "image/jpeg", "image/webp")


def read_images(files: Sequence[bytes], given: Tensor, rows: InputRows, field: str) -> NDArray[Any]:
    """One row for each file.

    Raises:
        InvalidInput: the input takes no images, or one of the files is none that it takes.
    """
    if not images.takes_images(given):
        raise InvalidInput("this input takes no images: its contract names no layout, colour and range", field)
    try:
        found = images.decode(files, given, rows.contract.axes)
    except images.ImageError as error:
        raise InvalidInput(str(error), f"{field}[{error.index}]") from None
    if (misfit := rows.misfit(given, found.shape[1:])) is not None:  # with another input's axis of the same letter
        raise InvalidInput(f"expected images that fit the other inputs: {misfit[1]}", field)
    return json_arrays.check(found, given, field)
