"""Says at which line of a network tracing fails, and what to write there instead."""

import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch.fx import Graph, Node
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv

from models.export.nodes import arguments

_MODELS = Path(__file__).parents[1]
_NOT_THE_NETWORK = tuple(
    str(path)
    for path in (
        Path(torch.__file__).parent, _MODELS / "export", _MODELS / "layers.py", _MODELS / "functional_dropout.py",
    )
)  # fmt: skip
_STANDARD = sysconfig.get_path("stdlib")
_READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default)
_FIXED_ROWS = (
    (r"\blen\(", "len() makes the number of rows a constant: write x.shape[0] instead, which stays free"),
    (r"\bint\(", "int() makes the number of rows a constant: write x.shape[0] as it is, without int()"),
    (
        r"\bfor\b|\brange\(|\benumerate\(|\bzip\(|\blist\(|\bunbind\(",
        "a loop over the rows makes their number a constant: write an operation on all rows at once",
    ),
    (
        "",
        "the number of rows becomes a constant: compute with x.shape[0] as it is, and leave at most that axis to -1 in "
        "a reshape",
    ),
)
_VALUES = (
    (
        r"\.item\(|\.tolist\(|\.numpy\(|\bfloat\(|\bint\(",
        "a value is read out of a tensor, and the graph cannot depend on it: compute with the tensor itself",
    ),
    (
        r"\bif\b|\bwhile\b|\bassert\b|\band\b|\bor\b|\bnot\b|\bbool\(",
        "the code depends on values in a tensor, and the graph is the same for all rows: write torch.where(condition, "
        "a, b) instead of an if, and leave out checks of values",
    ),
    ("", "sizes or branches depend on values in a tensor: keep all rows and places, and multiply by a mask of 0 and 1"),
)


def explain(error: Exception, again: Callable[[], Any]) -> str:
    """What to tell of an error of torch.export: the network's line and what would help, then torch's own words.

    Args:
        again: traces once more, to see where the number of rows becomes a constant; only torch.export's last step
            notices that it did.
    """
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, torch._dynamo.exc.UserError):
        return f"the network cannot be traced for any batch size{_fixed(again)}\ntorch.export says: {said}"
    frame = _last_of_network(traceback.extract_tb(error.__traceback__))
    if frame is None:
        return f"the network cannot be traced: {said}"
    if isinstance(error, GuardOnDataDependentSymNode):
        return f"the network cannot be traced: {_place(frame)}: {_advice(frame, _VALUES)}\ntorch.export says: {said}"
    hint = ""
    if re.search(_VALUES[0][0], frame.line or ""):
        hint = f": {_VALUES[0][1]}"
    return f"the network cannot be traced: {_place(frame)}{hint}\n{said}"


def check_graph(graph: Graph) -> None:
    """Refuses what torch.export traces and a model cannot hold.

    Raises:
        ValueError: the answers depend on random numbers, or on a number read out of a tensor.
    """
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if node.target in _READS:
            raise ValueError(f"the network cannot be exported: {written(node)}{_VALUES[0][1]}")
        if _is_random(node):
            raise ValueError(
                f"the network cannot be exported: {written(node)}it draws random numbers in evaluation mode "
                f"({node.target}): in a call of dropout write training=self.training, or freeze it "
                "with mc_dropout"
            )


def _is_random(node: Node) -> bool:
    if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
        return False
    given, names = arguments(node), {argument.name for argument in node.target._schema.arguments}  # type: ignore[union-attr]
    for name in ("train", "training", "dropout_p"):  # of an operation that can also do without
        if name in names:
            return bool(given.get(name)) and 0 not in (given.get("p"), given.get("dropout"))
    return True


def written(node: Node) -> str:
    """Where the network calls an operation, and a colon; empty if that is not known."""
    places = re.findall(r'File "(.*)", line (\d+), in (.*)\n\s*(.*)', node.meta.get("stack_trace") or "")
    frames = [traceback.FrameSummary(file, int(line), name, line=code) for file, line, name, code in places]
    frame = _last_of_network(frames)
    return "" if frame is None else f"{_place(frame)}: "


def _fixed(again: Callable[[], Any]) -> str:
    """Where the number of rows becomes a constant, and what to write instead."""
    with _constants() as found, suppress(Exception):  # what it says is known already
        again()
    return f": {_place(found[0])}: {_advice(found[0], _FIXED_ROWS)}" if found else ""


@contextmanager
def _constants() -> Iterator[list[traceback.FrameSummary]]:
    """Collects the network's lines at which a free size becomes a number."""
    found: list[traceback.FrameSummary] = []
    # the one place in torch that all of len(), int(), loops and shapes come through
    original = ShapeEnv._set_replacement

    def noted(env: ShapeEnv, symbol: Any, value: Any, *rest: Any, **named: Any) -> None:
        if value.is_number and (frame := _last_of_network(traceback.extract_stack())) is not None:
            found.append(frame)
        original(env, symbol, value, *rest, **named)

    ShapeEnv._set_replacement = noted  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        ShapeEnv._set_replacement = original  # type: ignore[method-assign]


def _last_of_network(frames: list[traceback.FrameSummary]) -> traceback.FrameSummary | None:
    """The innermost line that is neither torch's, nor Python's, nor this package's."""
    for frame in reversed(frames):
        standard = frame.filename.startswith(_STANDARD) and "site-packages" not in frame.filename
        if not (frame.filename.startswith((*_NOT_THE_NETWORK, "<")) or standard):
            return frame
    return None


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}, line {frame.lineno}, in {frame.name}: `{frame.line}`"


def _advice(frame: traceback.FrameSummary, kinds: tuple[tuple[str, str], ...]) -> str:
    return next(advice for pattern, advice in kinds if re.search(pattern, frame.line or ""))
