"""A model's warm-up and what it knows of itself, on sessions that need no file."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from app.contract import policy
from app.contract.axis import FreeAxis
from app.contract.schema import shape_at
from app.contract.tensor import Tensor
from app.engine import model as module
from app.engine.device import Device
from app.engine.model import LoadOptions, Model, load
from app.engine.session import Session
from app.failures import ModelRejected, PolicyMismatch, StartError
from tests.app.engine.fakes import CONTRACT, Arrays


class ShapedSession:
    """Answers in the shapes that the contract says, but for those it is told."""

    def __init__(
        self, sizes: tuple[int, ...] = (1, 2), shapes: dict[str, tuple[int, ...]] | None = None, most: int = 2**30
    ) -> None:
        self.sizes = sizes
        self.ran: list[int] = []
        self.shapes: list[tuple[int, ...]] = []
        self._most = most
        self.asked: list[Sequence[str]] = []
        self._shapes = shapes or {}
        self.checked = 0

    def run(self, inputs: Any, outputs: Sequence[str], seconds: float | None = None) -> Arrays:
        (given,) = inputs.values()
        if given.size > self._most:
            raise RuntimeError("bad_alloc")
        self.shapes.append(given.shape)
        self.ran.append(len(given))
        self.asked.append(outputs)
        shapes = {tensor.name: shape_at(tensor.shape, {"B": len(given)}) for tensor in CONTRACT.outputs}
        return {name: np.zeros(self._shapes.get(name, shapes[name])) for name in outputs}

    def check_provider(self) -> None:
        self.checked += 1


def made(*sessions: ShapedSession, **options: Any) -> Model:
    return Model("a", 1, CONTRACT, cast(Sequence[Session], sessions), **options)


def test_every_size_is_run_once_on_every_device_for_all_outputs() -> None:
    sessions = ShapedSession((1, 2, 4)), ShapedSession((1, 2, 4))
    model = made(*sessions)
    for session in sessions:
        assert session.ran == [1, 2, 4]
        assert set(session.asked[0]) == {tensor.name for tensor in CONTRACT.outputs}
        assert session.checked == 1
    model.probe(1)
    assert (len(sessions[0].ran), sessions[1].ran[3:]) == (3, [1])


def test_it_tells_what_it_takes_and_gives() -> None:
    model = made(ShapedSession())
    assert [tensor.shape for tensor in model.outputs[:3]] == [("B",), ("B", 2), ("B", 2, 2)]
    assert model.signature.inputs[0].name == "input"
    assert model.monitored_outputs == ("entropy", "mutual_information")
    assert (model.batchable, model.checked_inputs, model.finite_outputs) == (True, True, True)


def test_other_shapes_than_declared_are_rejected() -> None:
    with pytest.raises(ModelRejected, match=r"outputs\.entropy: declared \[1\] for 1 rows, got \[1, 7\]"):
        made(ShapedSession(shapes={"entropy": (1, 7)}))


def test_a_first_run_that_fails_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise RuntimeError("no kernel")

    session = ShapedSession()
    monkeypatch.setattr(session, "run", run)
    with pytest.raises(ModelRejected, match="its first run on 1 rows fails: no kernel"):
        made(session)


def test_a_session_that_left_its_device_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        raise StartError("elsewhere")

    session = ShapedSession()
    monkeypatch.setattr(session, "check_provider", check)
    with pytest.raises(StartError, match="elsewhere"):
        made(session)


def test_the_operators_policy_must_be_one_that_it_can_keep() -> None:
    found = made(ShapedSession(), policies=policy.parse_all("a=defer entropy>0.5")).policies
    assert {head: one.source for head, one in found.items()} == {"": "operator"}
    assert made(ShapedSession()).policies == {}
    with pytest.raises(PolicyMismatch, match="MASKSEMBLES_POLICY: a:1"):
        made(ShapedSession(), policies=policy.parse_all("*=defer entropy>p95"))


@pytest.mark.parametrize(("seconds", "inline", "threads"), [(1e-4, 5, [1]), (1e-2, 0, [1, 4])])
def test_a_quick_model_gets_one_thread_and_a_slow_one_all(
    monkeypatch: pytest.MonkeyPatch, seconds: float, inline: int, threads: list[int]
) -> None:
    made: list[int] = []

    def session(content: bytes, device: Device, threads: int = 1, *, free: bool = False) -> ShapedSession:
        made.append(threads)
        return ShapedSession()

    monkeypatch.setattr(module, "Session", session)
    monkeypatch.setattr(Model, "seconds_per_row", lambda _: seconds)
    model = load("a", 1, CONTRACT, b"a model", LoadOptions(Device("cpu", "cpu", ""), threads=4))
    assert model.inline_max_rows == pytest.approx(inline, abs=1)
    assert made == threads


def test_on_gpus_there_is_a_session_on_each(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []

    def session(content: bytes, device: Device, contract: object, most: int, index: int) -> ShapedSession:
        made.append((most, index))
        return ShapedSession()

    monkeypatch.setattr(module, "IOBindingSession", session)
    device = Device("cuda", "cuda", "", count=2)
    model = load("a", 1, CONTRACT, b"a model", LoadOptions(device, threads=4, max_batch=16))
    assert made == [(16, 0), (16, 1)]
    assert model.inline_max_rows == 0  # the loop must not wait for a GPU


FREE = CONTRACT.model_copy(
    update={
        "inputs": (Tensor(name="input", dtype="float32", shape=("B", 3, "T"), unit="feature", range=(2, 3)),),
        "axes": {"T": FreeAxis(least=4, most=800, multiple_of=4)},
    }
)


def test_with_free_axes_the_smallest_and_the_largest_size_run_first() -> None:
    session = ShapedSession()
    model = Model("a", 1, FREE, cast(Sequence[Session], [session]))
    assert session.shapes == [(1, 3, 4), (2, 3, 4), (1, 3, 800)]
    model.probe(0)
    assert session.shapes[-1] == (1, 3, 4)
    model.seconds_per_row()  # what may run in the event loop is quick at any size
    assert session.shapes[-1] == (1, 3, 800)


def test_a_model_that_fails_at_its_largest_size_is_rejected() -> None:
    with pytest.raises(ModelRejected, match=r"its first run on 1 rows of \[3, 800\] fails: bad_alloc"):
        Model("a", 1, FREE, cast(Sequence[Session], [ShapedSession(most=2399)]))


def test_values_bound_a_batch_of_free_size_alone() -> None:
    assert made(ShapedSession()).most_values is None
    assert Model("a", 1, FREE, cast(Sequence[Session], [ShapedSession()])).most_values == 2**20
    large = FREE.model_copy(update={"axes": {"T": FreeAxis(least=4, most=2**20)}})
    assert Model("a", 1, large, cast(Sequence[Session], [ShapedSession()])).most_values == 3 * 2**20


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_session_of_free_size_knows_it(monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    found: list[bool] = []

    def session(content: bytes, device: Device, threads: int = 1, index: int = 0, *, free: bool) -> ShapedSession:
        found.append(free)
        return ShapedSession()

    monkeypatch.setattr(module, "Session", session)
    load("a", 1, FREE, b"", LoadOptions(Device(name, name, "a test")))
    assert found == [True]
