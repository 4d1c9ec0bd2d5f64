"""Graphs in graphs, deeper than the stack of whoever reads them."""

from collections.abc import Iterator
from functools import partial

from tests.hostile.file import Hostile
from tests.hostile.wire import field


def _nested(depth: int) -> bytes:
    """A graph in a node in a graph …; written here, since protobuf's library makes no such message, either."""
    graph = b""
    for _ in range(depth):
        attribute = field(1, b"body") + field(6, graph) + b"\xa0\x01\x05"
        graph = field(1, field(4, b"Loop") + field(5, attribute))
    return b"\x08\x0a" + field(7, graph) + field(8, b"\x10\x14")


def files() -> Iterator[Hostile]:
    for depth in (33, 2000, 20_000):
        yield Hostile(f"nested-{depth}", partial(_nested, depth), ("not an ONNX file", "not a valid ONNX"))

    yield Hostile(
        "nested-in-bytes", lambda: b"\x08\x0a" + field(7, field(1, field(4, b"\xff\xfe"))), ("not a valid ONNX",)
    )
