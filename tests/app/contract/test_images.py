"""Files of images as arrays, and that whatever a file holds ends as an array or a ImageError."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from app.contract import images
from app.contract.axis import FreeAxis
from app.contract.images import MAX_PIXELS, ImageError, takes_images
from app.contract.tensor import Tensor

Pixels = NDArray[np.uint8]


def decode(content: bytes, of: Tensor) -> NDArray[Any]:
    """The only row."""
    (row,) = images.decode([content], of)
    return row


def tensor(
    layout: str | None = "BCHW", colour: str | None = "grey", size: int | tuple[int, int] = 8, **more: Any
) -> Tensor:
    """The input of a model that takes images of so many rows and columns."""
    height, width = (size, size) if isinstance(size, int) else size
    axes = {"B": "B", "C": 3 if colour == "rgb" else 1, "H": height, "W": width}
    shape = tuple(axes[letter] for letter in layout or "BHW")
    fields = {"dtype": "uint8", "unit": "grey value", "layout": layout, "colour": colour, **more}
    return Tensor.model_validate({"name": "input", "shape": shape, **fields})


GREY, RGB = tensor("BHW"), tensor("BHWC", "rgb")


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def encode(image: Pixels | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG as its bytes say, with no library that could have an opinion on it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    parts = (b"\x89PNG\r\n\x1a\n", head, *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"".join(parts)


def refusal(content: bytes, of: Tensor = GREY) -> str:
    with pytest.raises(ImageError) as refused:
        decode(content, of)
    return str(refused.value)


def test_every_grey_value_is_that_over_255_to_the_last_bit() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = decode(encode(values), tensor("BCHW", dtype="float32", range=(0, 1), size=16))
    assert (found.dtype, found.shape) == (np.float32, (1, 16, 16))
    assert found.tobytes() == np.array([np.float32(value / 255) for value in range(256)]).tobytes()


def test_minus_1_to_1() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = decode(encode(values), tensor("BHW", dtype="float32", range=(-1, 1), size=16)).ravel()
    assert found.dtype == np.float32
    assert (found[0], found[-1]) == (-1, 1)
    np.testing.assert_allclose(found, np.arange(256) / 127.5 - 1, atol=1e-6)


@settings(max_examples=100)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
@example(-2.117904, 2.64)
@example(0.1, 0.3)
@example(0.0, 255.0)
def test_black_is_the_smallest_value_of_the_range_and_white_the_largest(low: float, high: float) -> None:
    assume(np.float32(low) < np.float32(high))
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = decode(encode(values), tensor("BHW", dtype="float32", range=(low, high), size=16)).ravel()
    assert (found[0], found[-1]) == (np.float32(low), np.float32(high))
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("layout", ["BCHW", "BHWC", "BWHC", "BHW", "BWH"])
def test_grey_in_every_layout(form: str, layout: str) -> None:
    pixels = noise(4, 6)
    content = encode(np.repeat(pixels[..., None], 3, axis=2) if form == "WEBP" else pixels, form, lossless=True)
    found = decode(content, tensor(layout, size=(4, 6)))
    axes = layout[1:].replace("C", "")
    expected = pixels if axes == "HW" else pixels.T
    np.testing.assert_array_equal(found, np.expand_dims(expected, layout.index("C") - 1) if "C" in layout else expected)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize(("layout", "axes"), [("BCHW", (2, 0, 1)), ("BHWC", (0, 1, 2)), ("BCWH", (2, 1, 0))])
def test_colours_in_every_layout(form: str, layout: str, axes: tuple[int, int, int]) -> None:
    pixels = noise(4, 6, 3)
    found = decode(encode(pixels, form, lossless=True), tensor(layout, "rgb", (4, 6)))
    np.testing.assert_array_equal(found, pixels.transpose(axes))
    assert found.flags.c_contiguous


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_a_lossy_file_is_near_the_image(form: str) -> None:
    y, x = np.mgrid[:32, :32]
    pixels = np.stack([4 * x + 60, 4 * y + 60, 2 * (x + y) + 60], axis=-1).astype(np.uint8)
    found = decode(encode(pixels, form, quality=95), tensor("BHWC", "rgb", 32))
    assert np.abs(found.astype(int) - pixels).max() < 12


def test_colours_become_grey_and_grey_becomes_three_equal_colours() -> None:
    pixels = noise(8, 8, 3)
    found = decode(encode(pixels), GREY).astype(float)
    np.testing.assert_allclose(found, pixels @ np.array([0.299, 0.587, 0.114]), atol=0.6)
    grey = noise(8, 8)
    np.testing.assert_array_equal(decode(encode(grey), RGB), np.repeat(grey[..., None], 3, axis=2))


def transpose(pixels: Pixels) -> Pixels:
    return pixels.transpose(1, 0, 2)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda pixels: pixels),
        (2, np.fliplr),
        (3, lambda pixels: np.rot90(pixels, 2)),
        (4, np.flipud),
        (5, transpose),
        (6, lambda pixels: np.rot90(pixels, -1)),
        (7, lambda pixels: transpose(np.rot90(pixels, 2))),
        (8, np.rot90),
    ],
)
def test_a_photo_is_turned_upright(orientation: int, upright: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(16, 24, 3)
    stored = decode(encode(pixels, "JPEG"), tensor("BHWC", "rgb", (16, 24)))
    expected = upright(stored)
    found = decode(encode(pixels, "JPEG", exif=exif), tensor("BHWC", "rgb", expected.shape[:2]))
    np.testing.assert_array_equal(found, expected)


def test_a_photo_on_its_side_does_not_fit_when_nothing_says_so() -> None:
    assert (
        refusal(encode(noise(16, 24), "JPEG"), tensor("BHW", size=(24, 16))) == "expected 16 × 24 pixels, got 24 × 16"
    )


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA")])
def test_transparent_pixels_are_refused_and_opaque_ones_taken(form: str, mode: str) -> None:
    image = Image.fromarray(noise(8, 8, 3)).convert(mode)
    image.putalpha(255)
    opaque = decode(encode(image, form, lossless=True), RGB)
    np.testing.assert_array_equal(opaque, np.asarray(image.convert("RGB")))
    alpha = Image.new("L", (8, 8), 255)
    alpha.putpixel((3, 2), 254)
    image.putalpha(alpha)
    assert "transparent" in refusal(encode(image, form, lossless=True), RGB)


def test_a_transparent_colour_is_refused_where_the_image_has_it() -> None:
    rows = b"".join(b"\0" + bytes([7] * 8) for _ in range(8))
    assert "transparent" in refusal(png(8, 8, 8, 0, rows, chunk(b"tRNS", b"\0\x07")))
    np.testing.assert_array_equal(decode(png(8, 8, 8, 0, rows, chunk(b"tRNS", b"\0\x08")), GREY), np.full((8, 8), 7))
    paletted = Image.fromarray(noise(8, 8, 3)).quantize(16)
    assert "transparent" in refusal(encode(paletted, transparency=paletted.getpixel((0, 0))))


def test_a_palette() -> None:
    image = Image.fromarray(noise(8, 8, 3)).quantize(16)
    np.testing.assert_array_equal(decode(encode(image), RGB), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_fewer_than_8_bits_reach_from_black_to_white(depth: int) -> None:
    rows = b"".join(b"\0" + (b"\xf0" if line % 2 else b"\x0f") * depth for line in range(8))
    found = decode(png(8, 8, depth, 0, rows), GREY)
    assert {int(found.min()), int(found.max())} == {0, 255}


def test_1_bit() -> None:
    pixels = noise(8, 8) > 127
    np.testing.assert_array_equal(decode(encode(Image.fromarray(pixels)), GREY), pixels * np.uint8(255))


def test_printing_colours() -> None:
    image = Image.new("RGB", (8, 8), (200, 30, 60)).convert("CMYK")
    found = decode(encode(image, "JPEG", quality=100), RGB)
    assert np.abs(found.astype(int) - (200, 30, 60)).max() < 8


@pytest.mark.parametrize(("colour", "bands"), [(0, 1), (2, 3), (4, 2), (6, 4)], ids=["grey", "rgb", "grey+a", "rgb+a"])
def test_16_bits_are_refused(colour: int, bands: int) -> None:
    rows = (b"\0" + b"\xff\xff" * bands * 8) * 8
    assert "8 bits" in refusal(png(8, 8, 16, colour, rows), RGB if bands > 2 else GREY)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animations_are_refused(form: str) -> None:
    first, second = Image.fromarray(noise(8, 8, 3)), Image.fromarray(255 - noise(8, 8, 3))
    content = encode(first, form, save_all=True, append_images=[second], duration=40, lossless=True)
    assert "animation" in refusal(content, RGB)


def test_another_size_is_refused_before_it_is_decoded() -> None:
    empty = png(8, 9, 8, 0, b"")
    assert refusal(empty) == refusal(encode(noise(9, 8))) == "expected 8 × 8 pixels, got 8 × 9"
    assert refusal(empty, tensor("BHW", size=(9, 8))).startswith("the image cannot be decoded")


def test_stretch_ignores_the_proportions() -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, 16:] = 255
    found = decode(encode(pixels), tensor("BHW", resize="stretch"))
    np.testing.assert_array_equal(found[:, :3], 0)
    np.testing.assert_array_equal(found[:, 5:], 255)


def test_crop_fills_and_cuts_from_the_middle() -> None:
    pixels = np.zeros((16, 48), np.uint8)
    pixels[:, 16:32] = 255
    found = decode(encode(pixels), tensor("BHW", resize="crop"))
    np.testing.assert_array_equal(found[:, 1:-1], 255)
    tall = decode(encode(np.ascontiguousarray(pixels.T)), tensor("BHW", resize="crop"))
    np.testing.assert_array_equal(tall[1:-1], 255)


@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_what_fits_is_not_resampled(resize: str) -> None:
    pixels = noise(8, 8)
    np.testing.assert_array_equal(decode(encode(pixels), tensor("BHW", resize=resize)), pixels)


@pytest.mark.parametrize("resize", ["stretch", "crop"])
def test_one_pixel_and_a_line_can_be_made_to_fit(resize: str) -> None:
    for shape in ((1, 1), (1, 500), (500, 1)):
        found = decode(encode(np.full(shape, 9, np.uint8)), tensor("BCHW", resize=resize))
        np.testing.assert_array_equal(found, np.full((1, 8, 8), 9))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_is_cut_off_is_refused_or_lacks_nothing(form: str) -> None:
    content = encode(noise(8, 8, 3), form)
    whole = decode(content, RGB)
    for length in range(len(content)):
        try:
            found = decode(content[:length], RGB)
        except ImageError:
            continue
        np.testing.assert_array_equal(found, whole)
    for length in (0, 1, len(content) // 4, len(content) // 2, 3 * len(content) // 4):
        refusal(content[:length], RGB)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"not an image",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"RIFF\x04\0\0\0WEBP",
        *(encode(noise(8, 8), form) for form in ("GIF", "BMP", "TIFF", "PPM", "ICO", "TGA")),
    ],
    ids=lambda content: repr(content[:8]),
)
def test_what_is_no_png_jpeg_or_webp_is_refused(content: bytes) -> None:
    message = refusal(content)
    assert message == "expected a PNG, JPEG or WebP file" or message.startswith("the image cannot be decoded")


HUGE = [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (10_000, 10_000), (MAX_PIXELS // 4096 + 1, 4096)]


@pytest.mark.parametrize("size", HUGE, ids=str)
@pytest.mark.parametrize("resize", [None, "stretch", "crop"])
def test_a_small_file_with_a_huge_image_is_refused_undecoded(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], resize: str | None
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("its pixels were decoded"))
    message = refusal(png(*size, 8, 0, bytes(100)), tensor("BHW", resize=resize))
    assert message.startswith(("expected at most", "expected 8 × 8"))


def test_a_small_file_with_a_huge_text_is_refused_for_it() -> None:
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(2**24)))
    assert "Decompressed data too large" in refusal(png(8, 8, 8, 0, bytes(72), text))


def test_a_huge_image_is_no_warning_outside_of_tests() -> None:
    code = (
        "import sys; from app.contract import images, tensor\n"
        f"given = tensor.Tensor.model_validate_json({tensor('BHW', resize='crop').model_dump_json()!r})\n"
        "try: images.decode([sys.stdin.buffer.read()], given)\n"
        "except images.ImageError as error: print(error)"
    )
    content = png(10_000, 10_000, 8, 0, bytes(100))
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, input=content, capture_output=True, check=True)
    assert found.stderr == b""
    assert found.stdout.startswith(b"expected at most")


def test_a_lack_of_memory_is_told_like_any_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(*_: object) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", convert)
    assert refusal(encode(noise(8, 8))).startswith("the image cannot be decoded")


def decodes_or_is_refused(content: bytes) -> None:
    for of in (GREY, tensor("BCHW", "rgb", dtype="float32", range=(0, 1), resize="crop")):
        try:
            found = decode(content, of)
        except ImageError:
            continue
        assert (found.dtype, found.shape) == (np.dtype(of.dtype), of.shape[1:])


@settings(max_examples=100)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x20\0\0\0WEBPVP8 "]),
    st.binary(max_size=200),
)
def test_random_bytes_end_as_a_image_error(magic: bytes, content: bytes) -> None:
    decodes_or_is_refused(magic + content)


EXIF = Image.Exif()
EXIF[0x0112] = 6
FILES = [
    encode(noise(8, 8)),
    encode(noise(8, 8, 4), dpi=(72, 72)),
    encode(Image.fromarray(noise(8, 8, 3)).quantize(8), transparency=1),
    encode(noise(8, 8, 3), "JPEG", exif=EXIF),
    encode(noise(8, 8), "JPEG", progressive=True),
    encode(noise(8, 8, 3), "WEBP", exif=EXIF),
    encode(noise(8, 8, 4), "WEBP", lossless=True),
    encode(noise(8, 8, 3), save_all=True, append_images=[Image.fromarray(noise(8, 8, 3)[::-1])]),
]
MUTATION = st.tuples(st.integers(0, 2**16), st.integers(0, 3), st.binary(max_size=4))


@settings(max_examples=400)
@given(st.sampled_from(FILES), st.lists(MUTATION, min_size=1, max_size=5))
def test_damaged_files_end_as_a_image_error(content: bytes, mutations: list[tuple[int, int, bytes]]) -> None:
    for place, removed, added in mutations:
        at = place % (len(content) + 1)
        content = content[:at] + added + content[at + removed :]
    decodes_or_is_refused(content)


@settings(max_examples=200)
@given(st.integers(0, 2**16), st.binary(min_size=1, max_size=4))
def test_a_damaged_chunk_with_a_good_checksum_ends_as_a_image_error(place: int, bytes_: bytes) -> None:
    rows = bytearray(zlib.compress(bytes(72)))
    at = place % len(rows)
    rows[at : at + len(bytes_)] = bytes_
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    parts = (b"\x89PNG\r\n\x1a\n", head, chunk(b"IDAT", bytes(rows)), chunk(b"IEND", b""))
    decodes_or_is_refused(b"".join(parts))


@pytest.mark.parametrize(
    ("of", "taken"),
    [
        (tensor("BCHW"), True),
        (tensor("BHW"), True),
        (tensor("BHWC", "rgb"), True),
        (tensor("BCHW", "rgb", dtype="float32", range=(0, 1)), True),
        (tensor("BCHW", dtype="float32"), False),
        (tensor("BCHW", None), False),
        (tensor(None), False),
        (tensor("BHW", "rgb"), False),
        (Tensor(name="x", dtype="uint8", shape=("B", 3, 8, 8), unit="", layout="BCHW", colour="grey"), False),
        (Tensor(name="x", dtype="uint8", shape=("B", 1, 8, 8), unit="", layout="BCHW", colour="rgb"), False),
        (Tensor(name="x", dtype="uint8", shape=("B", 1, 8, 8), unit="", layout="BHW", colour="grey"), False),
        (Tensor(name="x", dtype="uint8", shape=("B", 8, 8), unit="", layout="BTF", colour="grey"), False),
        (Tensor(name="x", dtype="uint8", shape=("B", 8, 8, 8), unit="", layout="BHWH", colour="grey"), False),
        (Tensor(name="x", dtype="uint8", shape=("B", 2, 8, 8), unit="", layout="BTHW", colour="grey"), False),
        (Tensor(name="x", dtype="uint8", shape=("B", 64), unit="", layout="BC", colour="grey"), False),
    ],
)
def test_images_are_taken_where_the_contract_says_what_they_are(of: Tensor, taken: bool) -> None:
    assert takes_images(of) is taken


def test_several_are_rows_in_order_and_the_wrong_one_is_named() -> None:
    first, second = noise(8, 8), noise(8, 8)[::-1]
    np.testing.assert_array_equal(images.decode([encode(first), encode(second)], GREY), [first, second])
    with pytest.raises(ImageError) as caught:
        images.decode([encode(first), b"no", encode(second)], GREY)
    assert caught.value.index == 1


def test_all_images_together_have_a_limit() -> None:
    large = encode(Image.new("1", (8192, MAX_PIXELS // 8192 // 2 + 1)))
    given = tensor("BHW", resize="stretch")
    assert images.decode([large, encode(noise(8, 8))], given).shape == (2, 8, 8)
    with pytest.raises(ImageError, match="in all") as caught:
        images.decode([large, large], given)
    assert caught.value.index == 1


FREE = {"H": FreeAxis(least=4, most=64, multiple_of=4), "W": FreeAxis(least=2, most=50)}
ANY_SIZE = Tensor.model_validate({**tensor("BCHW").model_dump(), "shape": ("B", 1, "H", "W")})


@pytest.mark.parametrize("size", [(4, 2), (64, 50), (12, 31)])
def test_with_free_axes_an_image_keeps_its_size(size: tuple[int, int]) -> None:
    pixels = noise(*size)
    np.testing.assert_array_equal(images.decode([encode(pixels)] * 2, ANY_SIZE, FREE), [[pixels]] * 2)


@pytest.mark.parametrize("size", [(6, 8), (68, 8), (8, 51), (8, 1)])
def test_an_image_outside_the_free_axes_is_refused(size: tuple[int, int]) -> None:
    message = rf"expected \(2 to 50\) × \(4 to 64 and a multiple of 4\) pixels, got {size[1]} × {size[0]}"
    with pytest.raises(ImageError, match=message):
        images.decode([encode(noise(*size))], ANY_SIZE, FREE)


def test_an_image_is_turned_before_its_size_counts() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    content = encode(noise(8, 60), exif=turned)
    assert images.decode([content], ANY_SIZE, FREE).shape == (1, 1, 60, 8)
    with pytest.raises(ImageError, match="got 60 × 8"):
        images.decode([encode(noise(8, 60))], ANY_SIZE, FREE)


def test_the_images_of_a_request_have_one_size() -> None:
    with pytest.raises(ImageError, match="the first is 12 × 8, this one 8 × 12 pixels") as refused:
        images.decode([encode(noise(8, 12)), encode(noise(8, 12)), encode(noise(12, 8))], ANY_SIZE, FREE)
    assert refused.value.index == 2


def test_a_letter_for_both_sides_takes_squares_alone() -> None:
    square = Tensor.model_validate({**ANY_SIZE.model_dump(), "shape": ("B", 1, "H", "H")})
    assert images.decode([encode(noise(8, 8))], square, FREE).shape == (1, 1, 8, 8)
    with pytest.raises(ImageError, match="got 8 × 12"):
        images.decode([encode(noise(12, 8))], square, FREE)
