"""Arrays and archives of arrays, and what calls itself one."""

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.api.predict import npy_inputs
from app.engine.row_shapes import Feeds
from app.errors import BodyTooLarge, MalformedBody
from tests.app.api.predict.reading import LEVEL, SEVERAL, contract_of, npy, only, refusal, rows_of

IDS, LEVELS = np.array([[1, 2, 3, 4]]), np.array([[0.5, 1]], np.float32)


def archive(compression: int = zipfile.ZIP_STORED, **members: bytes | NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as opened:
        for name, content in members.items():
            opened.writestr(f"{name}.npy", content if isinstance(content, bytes) else npy(content))
    return stream.getvalue()


def savez(save: Any = np.savez, **arrays: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def read(body: bytes, of: Any = SEVERAL, most_bytes: int = 10_000) -> Feeds:
    rows = rows_of(of)
    npy_inputs.read_archive(body, rows, most_bytes)
    return rows.whole()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_has_an_array_for_each_input(save: Any) -> None:
    found = read(
        savez(save, level=LEVELS.astype(np.float64), mark=np.array([[1, 1, 1, 0]], np.uint8), ids=IDS.astype("i2"))
    )
    assert [(name, values.dtype.name) for name, values in found.items()] == [
        ("ids", "int64"), ("mark", "bool"), ("level", "float32"),
    ]  # fmt: skip
    assert [values.tolist() for values in found.values()] == [[[1, 2, 3, 4]], [[True, True, True, False]], [[0.5, 1]]]
    assert read(savez(save, ids=IDS, level=LEVELS))["mark"].all()
    assert read(savez(save, level=LEVELS), contract_of(LEVEL)).keys() == {"level"}


@pytest.mark.parametrize(
    ("arrays", "field", "message"),
    [
        ({"ids": IDS}, "inputs.level", "expected this input, too"),
        ({"arr_0": IDS}, "inputs.arr_0", "unknown input; there are: ids, mark, level"),
        ({"ids": IDS, "level": LEVELS.repeat(2, 0)}, "inputs.level",
         "expected 1 rows, as many as the other inputs have, got 2"),
        ({"ids": IDS[:, :3]}, "inputs.ids",
         "expected the shape [B, T], got [1, 3]: expected T = 2 to 16 and a multiple of 2, got 3"),
        ({"ids": IDS, "mark": IDS[:, :2] > 0}, "inputs.mark", "expected the same T on all its axes, got 4 and 2"),
        ({"ids": IDS + 96}, "inputs.ids[0][3]", "expected whole numbers in [0, 99] (token), got 100"),
        ({"ids": IDS.astype(float)}, "inputs.ids", "expected int64, got an array of float64"),
        ({"mark": IDS.astype(float)}, "inputs.mark", "expected bool, got an array of float64"),
        ({"mark": IDS}, "inputs.mark[0][1]", "expected true or false, got 2"),
        ({"level": LEVELS > 0}, "inputs.level", "expected float32, got an array of bool"),
        ({"level": np.array([[{}, {}]])}, "inputs.level", "got an array of object"),
        ({"level": np.zeros((9, 2))}, "inputs.level", "expected 1 to 8 rows (MASKSEMBLES_MAX_ROWS), got 9"),
        ({"level": np.zeros((1, 2, 1))}, "inputs.level", "expected the shape [B, 2], got [1, 2, 1]"),
    ],
)  # fmt: skip
def test_arrays_that_are_not_those_of_the_contract_are_refused(
    arrays: dict[str, NDArray[Any]], field: str, message: str
) -> None:
    found, said = refusal(lambda: read(savez(**arrays)))
    assert found == field
    assert message in said


def test_an_input_twice_is_refused() -> None:
    body = archive(ids=IDS, idx=IDS).replace(b"idx.npy", b"ids.npy")
    assert refusal(lambda: read(body)) == ("inputs.ids", "expected once")


@pytest.mark.parametrize("name", ["ids", "ids.txt", "folder/", "ids.npy/"])
def test_what_is_no_array_in_an_archive_is_refused(name: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr(name, npy(IDS))
    message = "expected arrays alone, as numpy.savez writes them"
    assert refusal(lambda: read(stream.getvalue())) == (f"inputs.{name}", message)


@pytest.mark.parametrize("name", ["../ids.npy", "/ids.npy", "a\\ids.npy", "\x1b[2J.npy"])
def test_a_name_is_a_name_and_no_path(name: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr(name, npy(IDS))
    _, message = refusal(lambda: read(stream.getvalue()))
    assert message == "unknown input; there are: ids, mark, level"


def encrypted() -> bytes:
    """Marked so; whether it really is, nobody looks."""
    body = bytearray(archive(ids=IDS))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        body[body.index(mark) + at] |= 1
    return bytes(body)


def other_method() -> bytes:
    body = bytearray(archive(ids=IDS))
    for mark, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        body[body.index(mark) + at] = 97
    return bytes(body)


def flipped(at: int, compression: int = zipfile.ZIP_STORED) -> bytes:
    body = bytearray(archive(compression, ids=IDS))
    body[at] ^= 0xFF
    return bytes(body)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b"", "inputs", "not an archive of arrays"),
        (b"PK\3\4", "inputs", "not an archive of arrays"),
        (npy(IDS), "inputs", "not an archive of arrays"),
        (archive(ids=IDS)[:-10], "inputs", "not an archive of arrays"),
        (archive(ids=IDS)[40:], "inputs.ids.npy", "the archive is damaged"),
        (flipped(100), "inputs.ids.npy", "the archive is damaged: Bad CRC-32"),
        (flipped(60, zipfile.ZIP_DEFLATED), "inputs.ids.npy", "the archive is damaged"),
        (encrypted(), "inputs.ids.npy", "is encrypted, password required"),
        (other_method(), "inputs.ids.npy", "the archive is damaged: That compression method is not supported"),
        (archive(ids=b"no array"), "inputs.ids", "not an array in NumPy's format"),
        (archive(ids=npy(IDS)[:-1]), "inputs.ids", "expected 32 bytes of numbers, got 31"),
        (archive(ids=npy(IDS) + b"x"), "inputs.ids", "expected 32 bytes of numbers, got 33"),
    ],
)  # fmt: skip
def test_a_damaged_archive_is_refused(body: bytes, field: str, message: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        read(body)
    assert caught.value.field == field
    assert message in caught.value.message


def test_arrays_are_decompressed_up_to_the_limit_of_a_body() -> None:
    bomb = archive(zipfile.ZIP_DEFLATED, ids=bytes(20_000_000))
    assert len(bomb) < 100_000
    for body in (
        bomb,
        archive(zipfile.ZIP_DEFLATED, ids=IDS, level=bytes(10_000)),
        archive(zipfile.ZIP_LZMA, ids=bytes(10_001)),
    ):
        with pytest.raises(BodyTooLarge, match="the arrays have more than 10000 bytes"):
            read(body)
    size = len(npy(IDS)) + len(npy(LEVELS))
    assert read(archive(ids=IDS, level=LEVELS), most_bytes=size)
    with pytest.raises(BodyTooLarge):
        read(archive(ids=IDS, level=LEVELS), most_bytes=size - 1)


def test_a_size_in_the_directory_is_a_claim() -> None:
    body = bytearray(archive(zipfile.ZIP_DEFLATED, ids=bytes(20_000_000)))
    at = body.index(b"PK\1\2") + 24
    body[at : at + 4] = struct.pack("<I", 168)
    with pytest.raises(MalformedBody, match="the archive is damaged"):
        read(bytes(body))


def test_a_directory_of_very_many_files_is_not_read() -> None:
    body = archive(zipfile.ZIP_STORED, **{str(at): b"" for at in range(1500)})
    with pytest.raises(MalformedBody, match="it holds too many files") as caught:
        read(body)
    assert caught.value.field == "inputs"
    assert refusal(lambda: read(archive(zipfile.ZIP_STORED, **{str(at): b"" for at in range(500)})))[0] == "inputs.0"


def test_an_array_of_the_declared_type_is_a_view_of_the_body() -> None:
    rows, body = rows_of(contract_of(LEVEL)), npy(LEVELS)
    found = npy_inputs.read_array(body, rows.contract.given, rows, "inputs")
    assert found.tolist() == LEVELS.tolist()
    assert np.may_share_memory(found, np.frombuffer(body, np.uint8))


def test_whole_numbers_beyond_2_53_are_refused() -> None:
    of = only("int64", 1)

    def one(value: int, dtype: str = "i8") -> Feeds:
        return read(savez(input=np.array([[value]], dtype)), of)

    for value in (2**53, -(2**53)):
        assert one(value)["input"].tolist() == [[value]]
    for value, dtype in ((2**53 + 1, "i8"), (-(2**53) - 1, "i8"), (2**64 - 1, "u8")):
        field, message = refusal(lambda value=value, dtype=dtype: one(value, dtype))  # type: ignore[misc]
        assert field == "inputs.input[0][0]"
        assert "expected whole numbers in [-9007199254740992, 9007199254740992]" in message


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["i1", ">i4", "u2", "?"])
def test_booleans_are_taken_from_whole_numbers_of_0_and_1(order: Any, dtype: str) -> None:
    rows = rows_of(only("bool", 2, 2))
    marks = np.array([[[1, 0], [0, 0]], [[1, 1], [0, 1]]], dtype, order=order)
    found = npy_inputs.read_array(npy(marks), rows.contract.given, rows, "inputs")
    assert (found.dtype, found.tolist()) == (np.bool_, marks.astype(bool).tolist())
    assert found.flags.c_contiguous
