"""A file without a contract, on sessions that need no file and on a real one."""

import logging
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import onnx
import pytest

from app.contract.signature import Port, Signature
from app.engine.bare_model import BareModel, BareSession, load_bare
from app.engine.device import Device
from app.engine.model import LoadOptions
from app.failures import DeviceOutOfMemory, ModelRejected, StartError

CPU = Device("cpu", "cpu", "for tests")
SIGNATURE = Signature(
    inputs=(
        Port(name="x", dtype="float32", sizes=("B", None, 3)),
        Port(name="flag", dtype="bool", sizes=()),
        Port(name="words", dtype="str", sizes=("n",)),
    ),
    outputs=(Port(name="y", dtype="float32", sizes=("B",)), Port(name="z", dtype="float32", sizes=("B",))),
)


class NotingSession:
    """Notes what it runs; can be made to fail, or to be on another device than the chosen one."""

    def __init__(self, error: Exception | None = None, *, elsewhere: bool = False) -> None:
        self.fed: list[dict[str, np.ndarray]] = []
        self.asked: list[Sequence[str]] = []
        self._error = error
        self._elsewhere = elsewhere

    def run(self, inputs: Any, outputs: Sequence[str], seconds: float | None = None) -> dict[str, Any]:
        self.fed.append(inputs)
        self.asked.append(outputs)
        if self._error is not None:
            raise self._error
        return {}

    def check_provider(self) -> None:
        if self._elsewhere:
            raise StartError("onnxruntime took another device")


def made(*sessions: NotingSession) -> BareModel:
    return BareModel("plain", 2, SIGNATURE, cast(Sequence[BareSession], sessions))


def test_a_first_run_without_the_memory_for_it_rejects_the_file() -> None:
    with pytest.raises(ModelRejected, match="its first run fails: no memory"):
        made(NotingSession(DeviceOutOfMemory("no memory for inputs of [1, 1, 3]")))


def test_a_first_run_that_fails_tells_nothing_and_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    session = NotingSession(RuntimeError("zeros are none of its inputs"))
    with caplog.at_level(logging.WARNING):
        model = made(session)
    assert "plain:2: a run with zeros fails: zeros are none of its inputs" in caplog.text
    model.probe(0)
    assert len(session.fed) == 1


def test_another_device_than_the_chosen_one_ends_the_start() -> None:
    with pytest.raises(StartError, match="another device"):
        made(NotingSession(elsewhere=True))


def test_every_device_is_tried_with_the_smallest_inputs() -> None:
    sessions = NotingSession(), NotingSession()
    model = made(*sessions)
    for session in sessions:
        (fed,) = session.fed
        assert {name: (values.dtype.name, values.shape) for name, values in fed.items()} == {
            "x": ("float32", (1, 1, 3)), "flag": ("bool", ()), "words": ("object", (1,)),
        }  # fmt: skip
        assert fed["words"].tolist() == [""]
        assert session.asked == [["y"]]
    model.probe(1)
    assert [len(session.fed) for session in sessions] == [1, 2]


def test_it_guarantees_nothing_of_its_rows() -> None:
    model = made(NotingSession())
    assert model.contract is None
    assert (model.batchable, model.checked_inputs, model.finite_outputs) == (False, False, False)
    assert (model.monitored_outputs, model.inline_max_rows) == ((), 0)


def test_one_request_runs_by_itself_on_all_its_inputs() -> None:
    file = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 20]>
        plain (float[n] x, float[n] y) => (float[n] sum, float[n] difference) { sum = Add(x, y) difference = Sub(x, y) }
    """)
    ports = [Port(name=name, dtype="float32", sizes=("n",)) for name in ("x", "y", "sum", "difference")]
    signature = Signature(inputs=tuple(ports[:2]), outputs=tuple(ports[2:]))
    model = load_bare("plain", 1, signature, file.SerializeToString(), LoadOptions(CPU))
    (session,) = model.sessions
    feeds = {"x": np.array([3, 4], np.float32), "y": np.array([1, 1], np.float32)}
    found = session.run(feeds, ["difference", "sum"])
    assert {name: [values.tolist() for values in lists] for name, lists in found.items()} == {
        "difference": [[2, 3]], "sum": [[4, 5]],
    }  # fmt: skip
    with pytest.raises(ModelRejected, match="onnxruntime cannot load it"):
        load_bare("plain", 1, signature, b"no model", LoadOptions(CPU))
