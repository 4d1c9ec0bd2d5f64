"""Names that mean harm to terminals and logs."""

from collections.abc import Iterator
from functools import partial

import onnx

from tests.hostile.file import Hostile, changed

EVIL = '\x1b[2J\r\n{"level": "critical"}\u202e\x00'
"""A name that clears a terminal, begins a line of its own in a log, and turns the direction of what follows."""


def files() -> Iterator[Hostile]:

    def weight(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer.add(name=EVIL, data_type=1)
        tensor.external_data.add(key="location", value=EVIL)

    def domain(model: onnx.ModelProto) -> None:
        model.opset_import.add(domain=EVIL, version=1)

    def output(model: onnx.ModelProto) -> None:
        model.graph.output[0].name = EVIL * 10_000

    def operator(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = EVIL

    for change, said in ((weight, "external file"), (domain, "unknown domain"), (output, ""), (operator, "")):
        name = f"name-of-{change.__name__}"
        yield Hostile(name, partial(changed, change), (said,))
