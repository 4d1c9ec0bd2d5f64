"""What goes on while a file takes its reader minutes, or a model its loader."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.engine import loader, repository
from app.engine.device import Device
from app.engine.options import RegistryOptions
from app.engine.reconciler import Reconciler, open_repository
from app.errors import UnknownModel
from tests.app.engine.fakes import FakeLoads, FakeVerifier, put, until

CPU = Device("cpu", "cpu", "for tests")
SOON = 10  # seconds: far below what a held verification waits, far above what anything here takes


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVerifier]:
    verifier = FakeVerifier()
    monkeypatch.setattr(repository, "verify", verifier)
    yield verifier
    verifier.release()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLoads]:
    loads = FakeLoads()
    monkeypatch.setattr(loader, "load", loads)
    yield loads
    loads.free.set()
    assert loads.most_at_once <= 1


@pytest.fixture
def threads(verifier: FakeVerifier, loads: FakeLoads) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads
        verifier.release()
        loads.free.set()


@pytest.fixture
def hanging(
    tmp_path: Path, verifier: FakeVerifier, loads: FakeLoads, threads: ThreadPoolExecutor
) -> tuple[Reconciler, Path]:
    """a:1 and b:1, verified and not loaded, while the verifier hangs over a:2."""
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 1)
    reconciler = open_repository(tmp_path, CPU, RegistryOptions(lazy=True))
    put(tmp_path, "a", 2)
    verifier.hold("a")
    threads.submit(reconciler.refresh)
    until(lambda: verifier.at_work == ["a"])
    return reconciler, tmp_path


def test_the_registry_is_read(hanging: tuple[Reconciler, Path], verifier: FakeVerifier) -> None:
    registry = hanging[0].registry
    assert registry.find("a", None).version == 1
    assert list(registry.serving) == list(registry.models) == ["a", "b"]
    assert [version.number for version in registry.models["a"].versions] == [1]
    assert registry.default is None
    assert verifier.at_work == ["a"]


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_first_request_is_answered(hanging: tuple[Reconciler, Path], verifier: FakeVerifier, name: str) -> None:
    registry = hanging[0].registry
    model, left = asyncio.run(registry.obtain(name, None, SOON))
    assert (model.name, model.version) == (name, 1)
    assert left > 0
    assert verifier.at_work == ["a"]


def test_an_administrator_loads_and_unloads_another_model(
    hanging: tuple[Reconciler, Path], verifier: FakeVerifier, threads: ThreadPoolExecutor
) -> None:
    reconciler, folder = hanging
    put(folder, "b", 2)
    loaded = threads.submit(reconciler.load, "b").result(SOON)
    assert loaded.default is reconciler.registry.find("b", 2)
    unloaded = threads.submit(reconciler.unload, "b").result(SOON)
    assert [version.state for version in unloaded.versions] == ["unloaded", "unloaded"]
    assert verifier.at_work == ["a"]


def test_a_model_is_unloaded_while_it_is_verified_and_stays_so(
    hanging: tuple[Reconciler, Path], verifier: FakeVerifier, loads: FakeLoads, threads: ThreadPoolExecutor
) -> None:
    reconciler, _ = hanging
    threads.submit(reconciler.unload, "a").result(SOON)
    with pytest.raises(UnknownModel):
        reconciler.registry.find("a", None)
    verifier.release()
    until(lambda: len(reconciler.registry.models["a"].versions) == 2)
    assert [version.state for version in reconciler.registry.models["a"].versions] == ["unloaded", "unloaded"]
    assert loads.begun == []


def test_the_folder_is_followed_for_the_others(
    hanging: tuple[Reconciler, Path], verifier: FakeVerifier, loads: FakeLoads
) -> None:
    reconciler, folder = hanging
    reconciler.watch(0.01)
    try:
        for version in (2, 3):  # the second one shows that it goes on
            put(folder, "b", version)
            until(lambda: reconciler.registry.find("b", None).version == version)  # noqa: B023
        assert verifier.at_work == ["a"]
        verifier.release()
        until(lambda: reconciler.registry.find("a", None).version == 2)
    finally:
        reconciler.close()
    assert sum(path.parts[-3:-1] == ("a", "2") for call in verifier.calls for path in call) == 1


def test_new_models_are_verified_side_by_side_by_a_child_each_and_loaded_one_after_the_other(
    tmp_path: Path, verifier: FakeVerifier, loads: FakeLoads, threads: ThreadPoolExecutor
) -> None:
    reconciler = open_repository(tmp_path, CPU)
    for name in "abcdef":
        put(tmp_path, name, 1)
        verifier.hold(name)
    refreshing = threads.submit(reconciler.refresh)
    until(lambda: len(verifier.at_work) == 4)  # and no more than that
    with pytest.raises(TimeoutError):
        refreshing.result(0.1)
    assert len(verifier.at_work) == len(verifier.calls) == 4
    verifier.release()
    refreshing.result(SOON)
    assert list(reconciler.registry.serving) == list("abcdef")
    assert len(loads.begun) == 6
    assert loads.most_at_once == 1


def test_at_the_start_one_child_verifies_what_is_small(
    tmp_path: Path, verifier: FakeVerifier, loads: FakeLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcdef":
        put(tmp_path, name, 1)
    assert list(open_repository(tmp_path, CPU).registry.serving) == list("abcdef")
    assert len(verifier.calls) == 1
    monkeypatch.setattr("app.engine.reconciler._BYTES_WORTH_A_CHILD", 1)
    monkeypatch.setattr("app.engine.reconciler.cpu_count", lambda *, sharing: 3)
    assert list(open_repository(tmp_path, CPU).registry.serving) == list("abcdef")
    assert sorted(len(call) for call in verifier.calls[1:]) == [2, 2, 2]


def test_while_a_model_is_loaded_the_others_are_read_verified_and_unloaded(
    tmp_path: Path, verifier: FakeVerifier, loads: FakeLoads, threads: ThreadPoolExecutor
) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 1)
    reconciler = open_repository(tmp_path, CPU)
    put(tmp_path, "a", 2)
    put(tmp_path, "b", 2)
    loads.free.clear()
    refreshing = threads.submit(reconciler.refresh)
    until(lambda: len(loads.begun) == 3 and len(verifier.calls) == 3 and not verifier.at_work)
    assert {reconciler.registry.find(name, None).version for name in "ab"} == {1}  # what answered still does
    other = "b" if loads.begun[-1][0] == "a" else "a"
    threads.submit(reconciler.unload, other).result(SOON)
    assert list(reconciler.registry.serving) == [loads.begun[-1][0]]
    loads.free.set()
    refreshing.result(SOON)
    assert loads.begun[3:] == []  # it was not loaded when its turn came


def test_trouble_that_nobody_foresaw_is_told_and_leaves_the_turn_free(
    tmp_path: Path, verifier: FakeVerifier, loads: FakeLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    reconciler = open_repository(tmp_path, CPU)
    put(tmp_path, "a", 2)
    with monkeypatch.context() as patch:
        patch.setattr(repository, "verify", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reconciler.refresh()
    assert reconciler.registry.find("a", None).version == 1
    reconciler.refresh()
    assert reconciler.registry.find("a", None).version == 2
