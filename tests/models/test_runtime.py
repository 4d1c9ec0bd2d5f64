import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from models import artefact, runtime
from models.runtime import DeviceUnavailable
from tests.models.evaluation.two_heads import two_heads

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def model(tiny_repository: Path) -> onnx.ModelProto:
    return artefact.read(tiny_repository, "tiny")[0]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO, "models")
    for cached in (runtime._has_gpu, runtime._tell):
        cached.cache_clear()
    yield caplog
    for cached in (runtime._has_gpu, runtime._tell):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("providers", "driver", "works", "device", "message"),
    [
        ([CPU], True, True, "cpu", None),
        ([CUDA, CPU], False, True, "cpu", None),
        ([CUDA, CPU], True, False, "cpu", "runs on the CPU: there is a GPU, but no such library"),
        ([CUDA, CPU], True, True, "cuda", "runs on the GPU"),
    ],
)
def test_a_model_runs_on_a_gpu_only_where_onnxruntime_can(
    model: onnx.ModelProto,
    told: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    providers: list[str],
    driver: bool,
    works: bool,
    device: str,
    message: str | None,
) -> None:
    asked = []

    def session(_: onnx.ModelProto, device: str) -> str:
        asked.append(device)
        if device == "cuda" and not works:
            raise DeviceUnavailable("no such\nlibrary")
        return device

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(runtime, "_DRIVERS", (tmp_path / "none", tmp_path if driver else tmp_path / "none"))
    monkeypatch.setattr(runtime, "session", session)
    monkeypatch.setattr(runtime, "run_session", lambda session, *_: {"on": session})
    plan, contract = onnx.ModelProto(), artefact.read
    assert [runtime.where(model) for _ in range(2)] == [device] * 2
    assert runtime.run(model, [], []) == {"on": device}  # type: ignore[arg-type]
    assert runtime.served(model, {device: (plan, contract)}) is plan  # type: ignore[dict-item]
    assert runtime.served(model, {"other": (plan, contract)}) is model  # type: ignore[dict-item]
    assert told.messages == ([message] if message else [])
    assert ("cuda" in asked) is (message is not None)


def test_processes_that_share_the_cores_take_one_thread_each(
    model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runtime.session(model).get_session_options().intra_op_num_threads == 0
    monkeypatch.setattr(runtime, "threads", 1)
    assert runtime.session(model).get_session_options().intra_op_num_threads == 1


def test_rows_of_several_inputs_run_a_few_at_a_time() -> None:
    model, _ = two_heads()
    rng = np.random.default_rng(0)
    rows = {"scene": rng.random((7, 4), np.float32), "state": rng.random((7, 3), np.float32)}
    session, names = runtime.session(model), ["action.entropy", "steering.prediction"]
    parts = list(runtime.run_in_parts(session, rows, names, 3))
    assert [(part.start, len(found["action.entropy"])) for part, found in parts] == [(0, 3), (3, 3), (6, 1)]
    whole = runtime.run_session(session, rows, names)
    for name in names:
        np.testing.assert_allclose(np.concatenate([found[name] for _, found in parts]), whole[name], rtol=1e-6)


def test_predictions_of_all_heads_are_raced_for() -> None:
    session = runtime.session(two_heads()[0])
    rows = {"scene": np.zeros((2, 4), np.float32), "state": np.zeros((2, 3), np.float32)}
    times = runtime.race({"a": session, "b": session}, rows, 2)
    assert {name: len(found) for name, found in times.items()} == {"a": 2, "b": 2}
    assert all(seconds > 0 for found in times.values() for seconds in found)


def test_a_race_is_timed_by_the_clock_that_is_given() -> None:
    rows = {"scene": np.zeros((2, 4), np.float32), "state": np.zeros((2, 3), np.float32)}
    ticks = iter(range(0, 1000, 60))
    times = runtime.race({"a": runtime.session(two_heads()[0])}, rows, 2, lambda: next(ticks))
    assert times == {"a": [60, 60]}


def test_sessions_have_one_thread_for_a_while() -> None:
    before = runtime.threads
    with runtime.one_thread():
        assert runtime.session(two_heads()[0]).get_session_options().intra_op_num_threads == 1
    assert runtime.threads == before
