import tracemalloc

import numpy as np
import pytest

from app.api.grpc.fields import split
from app.errors import InvalidInput, MalformedBody
from tests.app.api.grpc.calling import request
from tests.hostile.wire import field

MEGABYTES = 16 * 2**20


def test_tensors_are_views_and_the_rest_is_read() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(1, 6)
    body = request("tiny", rows, id="7").SerializeToString()
    head, raw = split(body)
    assert (head.model_name, head.id, head.inputs[0].name) == ("tiny", "7", "input")
    assert np.shares_memory(np.frombuffer(raw[0], np.uint8), np.frombuffer(body, np.uint8))
    assert bytes(raw[0]) == rows.tobytes()
    assert not head.raw_input_contents


def test_an_empty_message_is_one() -> None:
    head, raw = split(b"")
    assert (head.model_name, raw) == ("", [])


@pytest.mark.parametrize("key", [0x2A, 0x32, 0x3A, 0x22], ids=["inputs", "outputs", "raw", "parameters"])
def test_millions_of_empty_fields_are_refused_before_they_are_memory(key: int) -> None:
    body = bytes([key, 0]) * (MEGABYTES // 2)
    tracemalloc.start()
    with pytest.raises(InvalidInput, match="at most 4096 fields"):
        split(body)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("inside", [field(3, b"\1" * MEGABYTES), field(1, b"a" * 2**17)], ids=["shape", "name"])
def test_an_input_is_small_beside_its_values(inside: bytes) -> None:
    with pytest.raises(InvalidInput, match="beside the values"):
        split(field(5, inside))


def test_values_may_be_many() -> None:
    floats = field(6, np.ones(100_000, np.float32).tobytes())
    head, _ = split(field(5, field(5, floats)))
    assert len(head.inputs[0].contents.fp32_contents) == 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x05ab", b"\x0a", b"\xff" * 20, b"\x0b\x00", b"\x0d\x00", b"\x0a\x02\xff\xff", b"{}",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="not a ModelInferRequest"):
        split(body)


def test_noise_is_refused_or_read() -> None:
    random = np.random.default_rng(0)
    refused = 0
    for size in random.integers(1, 300, 3000):
        try:
            split(random.bytes(int(size)))
        except (MalformedBody, InvalidInput):
            refused += 1
    assert refused > 2000
