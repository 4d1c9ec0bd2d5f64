import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from app.contract.repository import model_path
from app.contract.schema import Contract
from app.engine import io_binding
from app.engine.device import Cuda, Device, choose, missing_for_cuda
from app.engine.io_binding import IOBindingSession, batch_sizes
from app.engine.model import LoadOptions, Model, load
from app.engine.row_shapes import Feeds
from app.engine.session import Session
from app.failures import ModelRejected
from tests.app.engine.scanning import scan

CPU = Device("cpu", "cpu", "for tests")
NAMES = ["probabilities", "submodels", "entropy", "prediction"]


@pytest.fixture(scope="module")
def content(digits_repository: Path) -> bytes:
    return model_path(digits_repository, "digits", 1).read_bytes()


@pytest.fixture(scope="module")
def contract(digits_repository: Path) -> object:
    return scan(digits_repository, "cpu", "digits").declared


@pytest.mark.parametrize(
    ("most", "expected"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (16, [1, 2, 4, 8, 16]), (17, [1, 2, 4, 8, 16, 17])]
)
def test_the_sizes_are_few_and_end_with_the_largest(most: int, expected: list[int]) -> None:
    assert batch_sizes(most) == expected


@pytest.fixture(scope="module")
def session(content: bytes, contract: object) -> IOBindingSession:
    """Bound to a CPU's memory: the same way through onnxruntime as on a GPU."""
    return IOBindingSession(content, CPU, contract, 8)  # type: ignore[arg-type]


def test_a_batch_filled_up_gets_the_answers_of_the_plain_session(session: IOBindingSession, content: bytes) -> None:
    assert session.sizes == (1, 2, 4, 8)
    plain = Session(content, CPU)
    rng = np.random.default_rng(0)
    for rows in range(1, 9):
        inputs = {"input": rng.random((rows, 1, 8, 8), dtype=np.float32)}
        found, expected = session.run(inputs, NAMES), plain.run(inputs, NAMES)
        assert list(found) == NAMES
        for name in NAMES:
            assert found[name].shape == expected[name].shape
            np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


def test_an_answer_is_not_written_over_by_the_next(session: IOBindingSession) -> None:
    rng = np.random.default_rng(0)
    first = session.run({"input": rng.random((2, 1, 8, 8), dtype=np.float32)}, NAMES)
    kept = {name: values.copy() for name, values in first.items()}
    session.run({"input": rng.random((2, 1, 8, 8), dtype=np.float32)}, NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(first[name], kept[name])


def test_only_what_is_asked_for_is_fetched(session: IOBindingSession, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[object] = []
    real = io_binding.fetch
    monkeypatch.setattr(io_binding, "fetch", lambda value: fetched.append(value) or real(value))  # type: ignore[func-returns-value]
    session.run({"input": np.zeros((3, 1, 8, 8), np.float32)}, ["entropy"])
    assert len(fetched) == 1


def test_every_size_is_warmed_up_before_a_model_answers(
    content: bytes, contract: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    real = IOBindingSession.run

    def run(self: IOBindingSession, inputs: Feeds, *rest: object) -> object:
        ran.append(len(inputs["input"]))
        return real(self, inputs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(IOBindingSession, "run", run)
    Model("digits", 1, contract, [IOBindingSession(content, CPU, contract, 8)])  # type: ignore[arg-type]
    assert ran == [1, 2, 4, 8]


def test_sizes_for_which_there_is_no_memory_are_a_refusal(
    content: bytes, contract: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", fail)
    with pytest.raises(ModelRejected, match="no memory on the device for batches of up to 8 rows"):
        IOBindingSession(content, CPU, contract, 8)  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(missing_for_cuda() is not None, reason=str(missing_for_cuda()))
@pytest.mark.parametrize("graphs", [False, True])
def test_on_a_gpu_every_size_gives_the_answers_of_the_cpu(
    digits_repository: Path, tmp_path: Path, graphs: bool
) -> None:
    shutil.copytree(digits_repository, tmp_path / "repository")
    entry = scan(tmp_path / "repository", "cuda", "digits")
    assert isinstance(entry.declared, Contract)
    device = choose("cuda", Cuda(graphs=graphs))
    model = load("digits", 1, entry.declared, entry.path.read_bytes(), LoadOptions(device, 1, 16))
    assert {session.provider for session in model.sessions} == {"CUDAExecutionProvider"}
    plain = Session(entry.path.read_bytes(), CPU)
    rng = np.random.default_rng(0)
    for _ in range(3):  # a graph is replayed
        for rows in range(1, 17):
            inputs = {"input": rng.random((rows, 1, 8, 8), dtype=np.float32)}
            found, expected = model.sessions[0].run(inputs, NAMES), plain.run(inputs, NAMES)
            for name in NAMES:
                np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
