"""Graphs of a few bytes that take gigabytes or for ever: when the session opens, or in the first run."""

from collections.abc import Iterator
from functools import partial

from tests.hostile.file import Hostile, poisoned


def files() -> Iterator[Hostile]:
    yield from _growing()
    yield from _endless()


def _growing() -> Iterator[Hostile]:
    """Graphs that make gigabytes of a few bytes: when the session opens, or in the first run."""
    memory = ("took more than", "onnxruntime cannot load it", "its first run on 1 rows fails")
    one = "one = Constant<value = float {1.0}>()"
    huge = "sizes = Constant<value = int64[2] {2048, 1048576}>()"  # 8 GiB: a machine may well give that
    some = "sizes = Constant<value = int64[2] {16384, 15000}>()"  # 0.98 GB: below what onnxruntime refuses to fold
    end = "poison = ReduceMin<keepdims = 0>(large)"
    graph = {
        "constant-of-shape": f"{huge} large = ConstantOfShape<value = float[1] {{0}}>(sizes) {end}",
        "expand": f"{one} {huge} large = Expand(one, sizes) {end}",
        "tile": "some = Constant<value = float[1] {1.0}>() times = Constant<value = int64[1] {2147483648}>() "
        f"large = Tile(some, times) {end}",
        "range": "a = Constant<value = float {0.0}>() b = Constant<value = float {2000000000.0}>() "
        f"{one} large = Range(a, b, one) {end}",
        "resize": "some = Constant<value = float[1, 1, 1, 1] {1.0}>() e = Constant<value = float[0] {}>() "
        f"scales = Constant<value = float[4] {{1.0, 1.0, 50000.0, 50000.0}}>() large = Resize(some, e, scales) {end}",
        "many-folded": some
        + "".join(f" part{at} = ConstantOfShape<value = float[1] {{{at}}}>(sizes)" for at in range(8))
        + f" large = Sum({', '.join(f'part{at}' for at in range(8))}) {end}",
        "at-run": f"lowest = ReduceMin<keepdims = 0>(input) grown = Mul(lowest, lowest) {huge} "
        f"large = Expand(grown, sizes) {end}",
        "pad-at-run": "lowest = ReduceMin<keepdims = 0>(input) axis = Constant<value = int64[1] {0}>() "
        "row = Unsqueeze(lowest, axis) many = Constant<value = int64[2] {0, 2147483648}>() "
        f"large = Pad(row, many) {end}",
    }
    for name, nodes in graph.items():
        yield Hostile(f"grows-{name}", partial(poisoned, nodes), memory, slow=name == "many-folded")


def _endless() -> Iterator[Hostile]:
    """What never comes to an end, or comes back to itself."""
    late = ("s of a processor to verify", "its first run on 1 rows fails")  # the warm-up's clock may be up before
    body = "(int64 i, bool c, float v) => (bool c_out, float v_out) { c_out = Identity(c) v_out = Cos(v) }"
    for name, most in (("for-ever", ""), ("most", "most = Constant<value = int64 {9223372036854775807}>()")):
        nodes = (
            f"{most} true = Constant<value = bool {{1}}>() start = ReduceMin<keepdims = 0>(input) "
            f"poison = Loop<body = inner {body}>({'most' if most else ''}, true, start)"
        )
        yield Hostile(f"loop-{name}", partial(poisoned, nodes), late, slow=True)
    square = "sizes = Constant<value = int64[2] {15000, 15000}>() a = ConstantOfShape<value = float[1] {0}>(sizes) "
    powers = "".join(f"{new} = MatMul({old}, {old}) " for old, new in zip("abcdef", "bcdefg"))
    slow = square + powers + "poison = ReduceMin<keepdims = 0>(g)"
    yield Hostile("slow-product", lambda: poisoned(slow), ("took more than",), slow=True)
