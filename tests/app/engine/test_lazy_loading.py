"""Models that are loaded with their first request."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from app.engine import loader
from app.engine.bare_model import Servable
from app.engine.device import Device
from app.engine.model_versions import VerifiedModel
from app.engine.options import RegistryOptions
from app.engine.reconciler import Reconciler, open_repository
from app.engine.verifier import Verification, verify
from app.errors import DeadlineExceeded, UnknownModel, UnknownVersion
from tests.app.engine.fakes import FakeLoads, until

CPU = Device("cpu", "cpu", "for tests")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLoads]:
    loads = FakeLoads()
    monkeypatch.setattr(loader, "load", loads)
    yield loads
    loads.free.set()
    assert loads.most_at_once <= 1


@pytest.fixture(scope="module")
def verification(tiny_repository: Path) -> Verification:
    """On the one file that all versions here are copies of."""
    (verification,) = verify([tiny_repository / "tiny" / "1" / "model.onnx"]).values()
    return verification


@pytest.fixture
def folder(tiny_repository: Path, verification: Verification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tiny:1 and tiny:2, and other:1."""
    monkeypatch.setattr("app.engine.repository.verify", lambda paths, *_, **__: dict.fromkeys(paths, verification))
    for place in ("tiny/1", "tiny/2", "other/1"):
        shutil.copytree(tiny_repository / "tiny" / "1", tmp_path / place)
    return tmp_path


def opened(folder: Path, keep: int = 0, reports: list[tuple[str, str]] | None = None) -> Reconciler:
    return open_repository(
        folder,
        CPU,
        RegistryOptions(keep_versions=keep, lazy=True),
        lambda *what: reports.append(what) if reports is not None else None,
    )


def obtain(reconciler: Reconciler, name: str, version: int | None = None) -> Servable:
    model, _ = asyncio.run(reconciler.registry.obtain(name, version, 30))
    return model


def became(reconciler: Reconciler, name: str = "tiny") -> dict[int, tuple[str, bool]]:
    return {version.number: (version.state, version.loaded) for version in reconciler.registry.models[name].versions}


def test_at_the_start_nothing_is_loaded_and_everything_is_known(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder, keep=1)
    assert loads.begun == []
    assert became(reconciler) == {1: ("available", False), 2: ("available", False)}
    found = reconciler.registry.find("tiny", None)
    assert isinstance(found, VerifiedModel)
    assert (found.name, found.version) == ("tiny", 2)
    assert found.contract is not None
    assert found.contract.head.labels == ("a", "b", "c")
    assert [port.name for port in found.signature.inputs] == ["input"]
    assert sorted(reconciler.registry.serving) == ["other", "tiny"]


def test_the_first_requests_load_a_model_once(folder: Path, loads: FakeLoads) -> None:
    reports: list[tuple[str, str]] = []
    reconciler = opened(folder, reports=reports)
    loads.free.clear()

    async def ask() -> list[Servable]:
        asking = [asyncio.create_task(reconciler.registry.obtain("tiny", None, 30)) for _ in range(20)]
        await asyncio.to_thread(until, lambda: bool(loads.begun))
        loads.free.set()
        return [model for model, _ in await asyncio.gather(*asking)]

    models = asyncio.run(ask())
    assert loads.begun == [("tiny", 2)]
    assert {id(model) for model in models} == {id(reconciler.registry.find("tiny", None))}
    assert became(reconciler) == {1: ("standby", False), 2: ("available", True)}
    assert became(reconciler, "other") == {1: ("available", False)}
    assert reports == [("tiny", "loaded")]


def test_those_that_are_loaded_answer_meanwhile(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder)
    obtain(reconciler, "other")

    async def ask() -> None:
        loads.free.clear()
        with pytest.raises(DeadlineExceeded, match=r"tiny:2 was not loaded within 50 ms"):
            await reconciler.registry.obtain("tiny", None, 0.05)
        assert await reconciler.registry.obtain("other", None, 0.05) == (reconciler.registry.find("other", None), 0.05)
        loads.free.set()
        found = await reconciler.registry.obtain("tiny", None, 30)  # that one went on
        assert found == (reconciler.registry.find("tiny", None), ANY)

    asyncio.run(ask())
    assert loads.begun == [("other", 1), ("tiny", 2)]


def test_loads_take_turns_and_waiters_keep_their_deadlines(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder, keep=1)

    async def ask() -> list[Servable]:
        loads.free.clear()
        asking = [asyncio.create_task(reconciler.registry.obtain("tiny", None, 30))]
        await asyncio.to_thread(until, lambda: bool(loads.begun))
        asking.append(asyncio.create_task(reconciler.registry.obtain("other", None, 30)))
        with pytest.raises(DeadlineExceeded, match=r"other:1 was not loaded within 50 ms"):
            await reconciler.registry.obtain("other", None, 0.05)
        assert loads.begun == [("tiny", 2)]
        loads.free.set()
        return [model for model, _ in await asyncio.gather(*asking)]

    assert [model.name for model in asyncio.run(ask())] == ["tiny", "other"]
    assert loads.begun == [("tiny", 2), ("other", 1)]


def test_whoever_loads_waits_for_its_turn(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder)
    obtain(reconciler, "other")
    shutil.copytree(folder / "tiny" / "1", folder / "other" / "2")

    async def ask() -> None:
        loads.free.clear()
        asking = asyncio.create_task(reconciler.registry.obtain("tiny", None, 30))
        await asyncio.to_thread(until, lambda: len(loads.begun) == 2)
        others = [asyncio.to_thread(reconciler.load, "other"), asyncio.to_thread(reconciler.load, "tiny")]
        doing = asyncio.gather(asking, asyncio.to_thread(reconciler.refresh, settled=True), *others)
        await asyncio.sleep(0.05)
        assert loads.begun == [("other", 1), ("tiny", 2)]
        loads.free.set()
        async with asyncio.timeout(30):
            await doing

    asyncio.run(ask())
    assert ("other", 2) in loads.begun
    assert became(reconciler, "other")[2] == became(reconciler)[2] == ("available", True)


def test_one_unloaded_before_its_turn_is_not_loaded(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder)

    async def ask() -> None:
        loads.free.clear()
        first = asyncio.create_task(reconciler.registry.obtain("tiny", None, 30))
        await asyncio.to_thread(until, lambda: bool(loads.begun))
        second = asyncio.create_task(reconciler.registry.obtain("other", None, 30))
        await asyncio.sleep(0)
        reconciler.unload("other")
        loads.free.set()
        await first
        with pytest.raises(UnknownModel, match=r"no model 'other' is served"):
            await second

    asyncio.run(ask())
    assert loads.begun == [("tiny", 2)]


def test_what_is_left_of_the_deadline_is_handed_on(
    folder: Path, loads: FakeLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = opened(folder)

    async def ask() -> None:
        loads.free.clear()
        asyncio.get_running_loop().call_later(0.1, loads.free.set)
        model, left = await reconciler.registry.obtain("tiny", None, 30)
        assert 0 < left <= 29.9
        assert await reconciler.registry.obtain("tiny", None, 30) == (model, 30)

    asyncio.run(ask())
    find = reconciler.registry.find

    def slowly(*asked: Any) -> Any:
        time.sleep(0.06)
        return find(*asked)

    monkeypatch.setattr(reconciler.registry, "find", slowly)  # the event loop is busy beyond the deadline
    with pytest.raises(DeadlineExceeded, match=r"other:1 was not loaded within 50 ms"):
        asyncio.run(reconciler.registry.obtain("other", None, 0.05))


def test_one_that_cannot_be_loaded_is_refused_and_a_lower_one_answers(folder: Path, loads: FakeLoads) -> None:
    reports: list[tuple[str, str]] = []
    reconciler = opened(folder, reports=reports)
    loads.bad = {("tiny", 2), ("other", 1)}
    assert obtain(reconciler, "tiny").version == 1
    assert became(reconciler) == {1: ("available", True), 2: ("rejected", False)}
    assert reconciler.registry.models["tiny"].versions[1].reason == "no memory on the device"
    assert reports == [("tiny", "rejected"), ("tiny", "loaded")]
    with pytest.raises(UnknownVersion, match=r"version 2 of 'tiny' is not served; there are: 1"):
        obtain(reconciler, "tiny", 2)
    for _ in range(2):
        with pytest.raises(UnknownModel, match=r"no model 'other' is served; there are: tiny"):
            obtain(reconciler, "other")
    assert loads.begun == [("tiny", 2), ("tiny", 1), ("other", 1)]
    loads.bad.clear()
    reconciler.load("other")  # looks again
    assert obtain(reconciler, "other").version == 1


def test_what_nobody_foresaw_refuses_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> object:
        raise MemoryError("none left")

    monkeypatch.setattr(loader, "load", load)
    reconciler = opened(folder)
    with pytest.raises(UnknownModel):
        obtain(reconciler, "tiny")
    assert [version.reason for version in reconciler.registry.models["tiny"].versions] == [
        "cannot be loaded: none left"
    ] * 2


def test_a_new_version_is_loaded_only_where_the_old_one_was(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder)
    obtain(reconciler, "tiny")
    for name in ("tiny", "other"):
        shutil.copytree(folder / "tiny" / "1", folder / name / "3")
    reconciler.refresh()
    assert loads.begun == [("tiny", 2), ("tiny", 3)]
    assert became(reconciler) == {1: ("standby", False), 2: ("standby", False), 3: ("available", True)}
    assert became(reconciler, "other") == {1: ("standby", False), 3: ("available", False)}
    assert obtain(reconciler, "other").version == 3


def test_a_kept_version_is_loaded_when_it_is_named(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder, keep=1)
    assert obtain(reconciler, "tiny").version == 2
    reconciler.refresh()
    assert became(reconciler) == {1: ("available", False), 2: ("available", True)}
    assert obtain(reconciler, "tiny", 1).version == 1
    assert became(reconciler) == {1: ("available", True), 2: ("available", True)}
    assert loads.begun == [("tiny", 2), ("tiny", 1)]


def test_of_a_model_only_the_version_that_is_named_is_loaded(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder, keep=1)
    assert obtain(reconciler, "tiny", 1).version == 1
    reconciler.refresh()
    assert loads.begun == [("tiny", 1)]
    assert became(reconciler) == {1: ("available", True), 2: ("available", False)}
    shutil.rmtree(folder / "tiny" / "2")
    reconciler.refresh()
    assert became(reconciler) == {1: ("available", True)}
    shutil.copytree(folder / "tiny" / "1", folder / "tiny" / "3")
    reconciler.refresh()  # one that answered gives way to one that can
    assert became(reconciler) == {1: ("available", True), 3: ("available", True)}


def test_on_request_a_model_is_loaded_and_unloaded(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder)
    reconciler.load("tiny")
    assert loads.begun == [("tiny", 2)]
    assert became(reconciler)[2] == ("available", True)
    reconciler.unload("tiny")
    assert became(reconciler) == {1: ("unloaded", False), 2: ("unloaded", False)}
    with pytest.raises(UnknownModel):
        obtain(reconciler, "tiny")
    reconciler.unload("other")
    assert became(reconciler, "other") == {1: ("unloaded", False)}
    assert loads.begun == [("tiny", 2)]


def test_one_unloaded_while_it_is_loaded_stays_unloaded(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder)

    async def ask() -> None:
        loads.free.clear()
        asking = asyncio.create_task(reconciler.registry.obtain("tiny", None, 30))
        await asyncio.to_thread(until, lambda: bool(loads.begun))
        reconciler.unload("tiny")
        loads.free.set()
        with pytest.raises(UnknownModel, match=r"no model 'tiny' is served"):
            await asking

    asyncio.run(ask())
    assert became(reconciler) == {1: ("unloaded", False), 2: ("unloaded", False)}


def test_a_model_that_was_never_loaded_goes_with_its_folder(folder: Path, loads: FakeLoads) -> None:
    reconciler = opened(folder)
    shutil.rmtree(folder / "other")
    reconciler.refresh()
    assert list(reconciler.registry.models) == ["tiny"]


def test_a_check_loads_everything(folder: Path, loads: FakeLoads) -> None:
    reconciler = open_repository(folder, CPU, RegistryOptions(lazy=True, load_all=True))
    assert sorted(loads.begun) == [("other", 1), ("tiny", 1), ("tiny", 2)]
    assert became(reconciler) == {1: ("standby", False), 2: ("available", True)}
