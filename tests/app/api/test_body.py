"""Bodies up to their limit, compressed or not."""

import asyncio
import gzip
import threading
import tracemalloc
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from app.api import body
from app.api.body import LARGE, accepted_encoding, compress
from app.api.memory import SMALL, Held, MemoryBudget
from app.errors import BodyTooLarge, MalformedBody, MemoryFull, RequestTimeout, UnsupportedMediaType


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int, memory: Held | None = None) -> bytes:
    return await body.read_body(receive, headers, limit, memory or MemoryBudget(2**30).hold())


def read(
    parts: Sequence[bytes], encoding: bytes | None = None, limit: int = 1000, declared: int | None = None
) -> tuple[bytes, int]:
    """A body that comes in parts as it is read, and how many of them were asked for."""
    messages = [
        {"type": "http.request", "body": part, "more_body": index < len(parts)} for index, part in enumerate(parts, 1)
    ]
    headers = {b"content-encoding": encoding} if encoding is not None else {}
    if declared is not None:
        headers[b"content-length"] = b"%d" % declared
    left = iter(messages)

    async def receive() -> Any:
        return next(left, {"type": "http.disconnect"})

    found = asyncio.run(read_body(receive, headers, limit))
    return found, len(messages) - len(list(left))


def test_parts_become_one_body() -> None:
    assert read([b"one"]) == (b"one", 1)
    assert read([b"one", b"", b"two"]) == (b"onetwo", 3)
    assert read([b""]) == (b"", 1)
    assert read([b"x" * 1000], declared=1000) == (b"x" * 1000, 1)


def test_a_body_that_declares_too_much_is_not_read() -> None:
    async def receive() -> Any:
        raise AssertionError("it was read")

    with pytest.raises(BodyTooLarge, match="larger than the 1000 bytes"):
        asyncio.run(read_body(receive, {b"content-length": b"1001"}, 1000))
    with pytest.raises(UnsupportedMediaType, match="expected Content-Encoding: gzip or deflate, got br"):
        asyncio.run(read_body(receive, {b"content-encoding": b"br"}, 1000))


def test_reading_ends_at_the_limit_whatever_is_declared() -> None:
    asked = 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"x" * 400, "more_body": True}

    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(receive, {b"content-length": b"10"}, 1000))
    assert asked == 3


def test_a_client_that_goes_away_is_noticed() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(read_body(receive, {}, 1000))


@settings(max_examples=50)
@given(st.binary(max_size=2000), st.sampled_from([b"gzip", b"deflate"]), st.integers(1, 50))
def test_what_is_compressed_comes_back(body: bytes, encoding: bytes, size: int) -> None:
    packed = compress(body, encoding)
    assert (gzip.decompress if encoding == b"gzip" else zlib.decompress)(packed) == body
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert read(parts, encoding, limit=max(len(body), len(packed)))[0] == body


@pytest.mark.parametrize("encoding", [b"GZIP", b" gzip ", b"gzip"])
def test_names_of_encodings_are_taken_in_any_case(encoding: bytes) -> None:
    assert read([gzip.compress(b"body", mtime=0)], encoding)[0] == b"body"


@pytest.mark.parametrize("encoding", [b"", b"identity", b"Identity"])
def test_no_encoding_leaves_the_body_alone(encoding: bytes) -> None:
    assert read([b"body"], encoding)[0] == b"body"


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"compress", b"gzip, gzip", b"gzip, deflate", b"\xff"])
def test_another_encoding_is_refused(encoding: bytes) -> None:
    with pytest.raises(UnsupportedMediaType):
        read([gzip.compress(b"body", mtime=0)], encoding)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_the_limit_holds_for_what_comes_out_too(encoding: bytes) -> None:
    assert read([compress(b"x" * 1000, encoding)], encoding) == (b"x" * 1000, 1)
    for size in (1001, 10_000_000):
        with pytest.raises(BodyTooLarge):
            read([compress(b"x" * size, encoding)], encoding, limit=1000 if size == 1001 else 50_000)


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_what_is_not_compressed_that_way_is_malformed(encoding: bytes) -> None:
    good = compress(b"a body", encoding)
    other = compress(b"a body", b"deflate" if encoding == b"gzip" else b"gzip")
    damaged = good[:-1] + bytes([good[-1] ^ 1])
    for bad in (b"", b"a body", good + b"more", good + good, other, damaged, *(good[:end] for end in range(len(good)))):
        with pytest.raises(MalformedBody):
            read([bad], encoding)


def test_a_body_is_decompressed_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    real = zlib.decompressobj

    def noted(bits: int) -> Any:
        threads.append(threading.get_ident())
        return real(bits)

    monkeypatch.setattr(zlib, "decompressobj", noted)
    short, long = b"x" * 10, bytes(range(256)) * (LARGE // 256 + 1)
    assert read([gzip.compress(short, mtime=0)], b"gzip")[0] == short
    assert read([gzip.compress(long, compresslevel=0, mtime=0)], b"gzip", limit=2 * LARGE)[0] == long
    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (b"", None),
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"br", None),
        (b"identity", None),
        (b"gzip, deflate, br, zstd", b"gzip"),
        (b"deflate, gzip", b"gzip"),
        (b"gzip;q=0.5, deflate", b"deflate"),
        (b"gzip;q=0.5, deflate;q=0.9", b"deflate"),
        (b"gzip ; q=0.9 , deflate ; q=0.5", b"gzip"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.000, deflate;q=0.001", b"deflate"),
        (b"GZIP;Q=1.0", b"gzip"),
        (b"*", b"gzip"),
        (b"*;q=0", None),
        (b"gzip;q=0, *", b"deflate"),
        (b"gzip;q=0.2, *;q=0.8", b"deflate"),
        (b"gzip, *;q=0", b"gzip"),
        (b"identity;q=0, br", None),
        (b"gzip;q=much", None),
        (b"gzip;q=", None),
        (b"gzip;q=-1", None),
        (b"gzip;q=nan", None),
        (b"gzip;level=9;q=0.5", b"gzip"),
        (b"x-gzip", None),
        (b",,;q=1,\xff", None),
    ],
)
def test_the_encoding_that_a_client_prefers(header: bytes, encoding: bytes | None) -> None:
    assert accepted_encoding(header) == encoding


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST_SECONDS", 0.05)

    async def receive() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(RequestTimeout, match=r"within 0\.05 seconds"):
        asyncio.run(read_body(receive, {b"content-length": b"100000"}, 200_000))


class Sending:
    """A client that sends parts of a body, and notes how many were taken and what was held then."""

    def __init__(self, held: Held, *parts: bytes, ends: bool = True) -> None:
        self.parts = list(parts)
        self.held: list[int] = []
        self._budget = held._budget
        self._ends = ends

    async def __call__(self) -> Message:
        self.held.append(self._budget.held)
        if not self.parts:
            return {"type": "http.disconnect"}
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts) or not self._ends}


def test_a_declared_body_is_held_before_it_is_read() -> None:
    budget = MemoryBudget(2**20)
    with budget.hold() as held:
        client = Sending(held, bytes(1000), bytes(99_000))
        assert len(asyncio.run(read_body(client, {b"content-length": b"100000"}, 2**20, held))) == 100_000
        assert client.held == [100_000, 100_000]
    assert budget.held == 0


def test_a_body_of_unknown_length_is_held_as_it_comes() -> None:
    with MemoryBudget(2**20).hold() as held:
        client = Sending(held, bytes(1000), bytes(2000), b"")
        asyncio.run(read_body(client, {}, 2**20, held))
        assert client.held == [0, 1000, 3000]


def test_no_memory_refuses_a_body_before_it_is_read_or_when_too_much_has_come() -> None:
    budget = MemoryBudget(2**20)
    with budget.hold() as other, budget.hold() as held:
        other.resize(2**19)
        client = Sending(held, *[bytes(2**17)] * 8)
        with pytest.raises(MemoryFull):
            asyncio.run(read_body(client, {b"content-length": b"%d" % 2**19}, 2**20, held))
        assert client.held == []
        with pytest.raises(MemoryFull):
            asyncio.run(read_body(client, {}, 2**20, held))
        assert len(client.held) == 4
    assert budget.held == 0


def test_a_client_that_goes_away_or_sends_too_much_holds_nothing_afterwards() -> None:
    budget = MemoryBudget(2**20)
    for parts, error in (((bytes(SMALL + 1),), ClientDisconnect), ((bytes(2**18), bytes(1)), BodyTooLarge)):
        with pytest.raises(error), budget.hold() as held:
            asyncio.run(read_body(Sending(held, *parts, ends=False), {}, 2**18, held))
        assert budget.held == 0


def test_what_is_unpacked_is_held() -> None:
    packed = gzip.compress(bytes(500_000))
    with MemoryBudget(2**20).hold() as held:
        asyncio.run(read_body(Sending(held, packed), {b"content-encoding": b"gzip"}, 2**20, held))
        assert held._size == 500_000
    budget = MemoryBudget(2**20)
    with budget.hold() as other, budget.hold() as held:
        other.resize(2**19)
        with pytest.raises(MemoryFull):
            asyncio.run(read_body(Sending(held, packed), {b"content-encoding": b"gzip"}, 2**20, held))


@pytest.mark.parametrize("size", [10_000_000, 9_990_001])  # as long as declared, and less
def test_a_declared_body_takes_no_more_memory_than_its_bytes(size: int) -> None:
    left = size

    async def receive() -> Message:
        nonlocal left
        part = bytes([left % 251]) * min(left, 100_000)
        left -= len(part)
        return {"type": "http.request", "body": part, "more_body": left > 0}

    async def read() -> tuple[bytes, int]:
        found = await read_body(receive, {b"content-length": b"10000000"}, 2**24)
        return found, tracemalloc.get_traced_memory()[1]  # here: asyncio takes more when it ends

    tracemalloc.start()
    try:
        found, peak = asyncio.run(read())
    finally:
        tracemalloc.stop()
    assert len(found) == size
    assert found == b"".join(bytes([(size - at) % 251]) * min(size - at, 100_000) for at in range(0, size, 100_000))
    assert peak < 10_500_000


def test_a_body_of_tiny_parts_takes_little_more_memory_than_its_bytes() -> None:
    count = 50_000
    left = count

    async def receive() -> Message:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"%03d" % (left % 1000), "more_body": left > 0}

    tracemalloc.start()
    try:
        found = asyncio.run(read_body(receive, {}, 2**20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 3 * count
    assert peak < 12 * count  # a list of parts would take 45 bytes for each
