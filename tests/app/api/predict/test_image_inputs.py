import io

import numpy as np
import pytest
from PIL import Image

from app.api.predict import image_inputs
from app.contract.axis import FreeAxis
from app.contract.tensor import Tensor
from tests.app.api.predict.reading import LEVEL, contract_of, refusal, rows_of

LEFT, RIGHT = (
    Tensor(name=name, dtype="uint8", shape=("B", "H", 4, 3), unit="", layout="BHWC", colour="rgb")
    for name in ("left", "right")
)
STEREO = contract_of(LEFT, RIGHT, LEVEL, H=FreeAxis(least=2, most=8, multiple_of=2))


def png(height: int, width: int = 4, value: int = 7) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def test_each_file_is_a_row() -> None:
    rows = rows_of(STEREO)
    found = image_inputs.read_images([png(6, value=1), png(6, value=2)], LEFT, rows, "inputs.left")
    assert (found.dtype, found.shape) == (np.uint8, (2, 6, 4, 3))
    assert found[:, 0, 0, 0].tolist() == [1, 2]
    assert rows.sizes == {"H": 6}


def test_pictures_of_two_inputs_agree_in_the_axis_that_they_share() -> None:
    rows = rows_of(STEREO)
    image_inputs.read_images([png(6)], LEFT, rows, "inputs.left")
    field, message = refusal(lambda: image_inputs.read_images([png(4)], RIGHT, rows, "inputs.right"))
    assert field == "inputs.right"
    assert message == "expected images that fit the other inputs: expected the same H on all its axes, got 6 and 4"


@pytest.mark.parametrize(
    ("files", "field", "message"),
    [
        ([png(6), b"x"], "inputs.left[1]", "PNG, JPEG or WebP"),
        ([png(5)], "inputs.left[0]", "expected 4 × (2 to 8 and a multiple of 2) pixels"),
        ([png(10)], "inputs.left[0]", "expected 4 × (2 to 8 and a multiple of 2) pixels"),
        ([png(6, 5)], "inputs.left[0]", "pixels, got 5 × 6"),
        ([png(6), png(4)], "inputs.left[1]", "the first is 4 × 6, this one 4 × 4 pixels"),
    ],
)
def test_a_file_that_is_no_picture_of_this_input_is_named(files: list[bytes], field: str, message: str) -> None:
    found, said = refusal(lambda: image_inputs.read_images(files, LEFT, rows_of(STEREO), "inputs.left"))
    assert found == field
    assert message in said


def test_an_input_that_is_no_image_says_so() -> None:
    field, message = refusal(lambda: image_inputs.read_images([png(4)], LEVEL, rows_of(STEREO), "inputs.level"))
    assert field == "inputs.level"
    assert message == "this input takes no images: its contract names no layout, colour and range"
