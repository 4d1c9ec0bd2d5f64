"""Forms whose parts are pictures, arrays and JSON."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.api.predict.form_inputs import Form
from app.contract.axis import FreeAxis
from app.contract.tensor import Tensor
from app.engine.row_shapes import Feeds
from app.errors import InvalidInput, MalformedBody
from tests.app.api.predict.reading import LEVEL, SEVERAL, contract_of, npy, refusal, rows_of

TYPE = "multipart/form-data; boundary=B"
FIELDS = ("model", "outputs")
PICTURE = Tensor(
    name="image", dtype="float32", shape=("B", 1, "H", "W"), unit="", range=(0, 1), layout="BCHW", colour="grey"
)
DRIVING = contract_of(PICTURE, LEVEL, **{letter: FreeAxis(least=2, most=8) for letter in "HW"})
LEVELS = np.array([[0.5, 1], [0, 1]], np.float32)


def png(height: int = 4, width: int = 3, grey: int = 255) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width), grey, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def part(name: str, content: bytes | str, filename: str | None = None, kind: str = "") -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    more = f"Content-Type: {kind}\r\n" if kind else ""
    data = content.encode() if isinstance(content, str) else content
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{named}\r\n{more}\r\n'.encode() + data + b"\r\n"


def form(*parts: bytes, most: int = 8) -> Form:
    return Form(TYPE, b"".join(parts) + b"--B--\r\n", FIELDS, most)


def read(*parts: bytes, of: Any = DRIVING) -> Feeds:
    rows = rows_of(of)
    form(*parts).read(rows)
    return rows.whole()


def test_pictures_of_one_input_beside_an_array_of_another() -> None:
    parts = (part("image", png(), "a.png"), part("level", npy(LEVELS), "l.npy"), part("image", png(grey=0), "b"))
    found = read(*parts)
    assert found["image"].shape == (2, 1, 4, 3)
    assert found["image"].mean(axis=(1, 2, 3)).tolist() == [1, 0]
    assert found["level"].tolist() == LEVELS.tolist()


@pytest.mark.parametrize("filename", [None, "level.json", ""])
def test_json_may_be_a_field_or_a_file_whatever_its_type_says(filename: str | None) -> None:
    for text in ("[[0.5, 1], [0, 1]]", "  \n[[0.5, 1], [0, 1]]"):
        found = read(part("level", text, filename, "image/png"), of=contract_of(LEVEL))
        assert found["level"].tolist() == LEVELS.tolist()


def test_the_only_input_may_be_named_inputs_or_by_its_name() -> None:
    one = contract_of(LEVEL)
    for name in ("inputs", "level"):
        assert read(part(name, npy(LEVELS), "x"), of=one)["level"].tolist() == LEVELS.tolist()
    both = [part(name, npy(LEVELS), "x") for name in ("inputs", "level")]
    assert refusal(lambda: read(*both, of=one)) == ("inputs.level", "expected once")


def test_parameters_are_fields_and_marks_may_be_left_out() -> None:
    given = form(part("model", "mine"), part("ids", "[[1, 2]]"), part("level", "[[0, 0]]"), part("outputs", "a,é"))
    assert given.fields == {"model": "mine", "outputs": "a,é"}
    rows = rows_of(SEVERAL)
    given.read(rows)
    assert rows.whole()["mark"].tolist() == [[True, True]]


IMAGE = part("image", png(), "a.png")
ONE_PART = "expected one part with all rows, or a picture for each"


@pytest.mark.parametrize(
    ("parts", "field", "message"),
    [
        ([IMAGE], "inputs.level", "expected this input, too"),
        ([IMAGE, part("level", "[[0, 0], [0, 0]]")], "inputs.level",
         "expected 1 rows, as many as the other inputs have, got 2"),
        ([IMAGE, part("level", npy(LEVELS)), part("level", npy(LEVELS))], "inputs.level", ONE_PART),
        ([IMAGE, part("level", "[[0, 0]]"), part("level", "[[0, 0]]")], "inputs.level", ONE_PART),
        ([part("image", npy(LEVELS)), IMAGE], "inputs.image", ONE_PART),
        ([part("level", png(), "a.png")], "inputs.level", "this input takes no images"),
        ([part("level", "0.5")], "inputs.level", "this input takes no images"),
        ([part("level", "[[0, 2]]")], "inputs.level[0][1]", "expected values in [0, 1] (m), got 2"),
        ([part("level", "[[0, 0")], "inputs.level", "expected numbers nested as [B, 2]"),
        ([IMAGE, part("image", png(5), "b.png")], "inputs.image[1]", "the first is 3 × 4, this one 3 × 5 pixels"),
        ([part("image", png(9), "b.png")], "inputs.image[0]", "expected (2 to 8) × (2 to 8) pixels, got 3 × 9"),
        ([part("image", "x", "b.png")], "inputs.image[0]", "PNG, JPEG or WebP"),
        ([part("inputs", png(), "b.png")], "inputs", "unknown field; there are: model, outputs, "),
        ([part("modle", "x"), IMAGE], "modle", "unknown field; there are: model, outputs, "),
        ([part("x" * 500, "x")], "x" * 100, "unknown field"),
        ([part("model", "x", "x.txt"), IMAGE], "model", "expected text, not a file"),
    ],
)  # fmt: skip
def test_parts_that_are_not_the_contract_s_inputs_are_refused(parts: list[bytes], field: str, message: str) -> None:
    found, said = refusal(lambda: read(*parts))
    assert found == field
    assert message in said


@pytest.mark.parametrize(
    ("parts", "field", "message"),
    [
        ([part("model", "mine")], "inputs", "expected a part for each input, named after it"),
        ([part("model", "a"), part("model", "b"), IMAGE], "model", "expected once"),
        ([part("model", "a" * 1025), IMAGE], "model", "at most 1024 bytes"),
        ([IMAGE] * 9, "inputs.image", "expected 1 to 8 rows (MASKSEMBLES_MAX_ROWS), got more"),
        ([part("inputs", b"x")] * 9, "inputs", "expected 1 to 8 rows"),
        ([part(f"i{at}", b"x") for at in range(257)], "inputs.i256", "expected at most 256 names of inputs"),
    ],
)
def test_what_is_wrong_with_any_model_is_refused_while_it_is_parsed(
    parts: list[bytes], field: str, message: str
) -> None:
    found, said = refusal(lambda: form(*parts))
    assert found == field
    assert message in said


def test_a_field_that_is_no_text_is_refused() -> None:
    assert refusal(lambda: form(part("model", b"\xff"), IMAGE)) == ("model", "expected UTF-8")


def test_a_form_that_is_cut_off_is_none() -> None:
    body = IMAGE + part("level", "[[0, 0]]") + b"--B--\r\n"
    for end in (len(body) - 8, len(body) // 2, 10):
        with pytest.raises((MalformedBody, InvalidInput)) as caught:
            Form(TYPE, body[:end], FIELDS, 8)
        assert isinstance(caught.value, MalformedBody)
