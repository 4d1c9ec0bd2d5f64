"""Repositories as people mount them. Whatever becomes of the files, what was loaded serves on; what comes or is mended
is taken in."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.contract.repository import plan_path
from app.engine import listing, loader, model_file, repository
from app.engine.device import Device
from app.engine.options import RegistryOptions
from app.engine.reconciler import Reconciler, open_repository
from tests.app.engine.fakes import FakeClock, FakeLoads, FakeVerifier, put

CPU = Device("cpu", "cpu", "for tests")


@pytest.fixture(autouse=True)
def verifier(monkeypatch: pytest.MonkeyPatch) -> FakeVerifier:
    verifier = FakeVerifier()
    monkeypatch.setattr(repository, "verify", verifier)
    return verifier


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> FakeLoads:
    loads = FakeLoads()
    monkeypatch.setattr(loader, "load", loads)
    return loads


def repoint(link: Path, target: Path) -> None:
    """In one step, as the kubelet and git-sync do."""
    made = link.with_name("..next")
    made.symlink_to(target)
    made.rename(link)


def look(opened: Reconciler) -> None:
    """Two looks of the watcher: the first one finds that something changed, the second that it does no more."""
    opened.refresh(settled=True)
    opened.refresh(settled=True)


def answers(opened: Reconciler, name: str = "a") -> list[int]:
    return [model.version for model in opened.registry.models[name].available]


@pytest.mark.parametrize("linked", ["folder", "model", "version"])
def test_a_link_that_is_repointed_is_followed(tmp_path: Path, linked: str) -> None:
    released = {"folder": ("a/1", "a/2"), "model": ("1", "2"), "version": ("model.onnx", "model.onnx")}[linked]
    for release, file in zip(("old", "new"), released):
        path = tmp_path / release / (file if linked == "version" else f"{file}/model.onnx")
        path.parent.mkdir(parents=True)
        path.write_bytes(release.encode())
    link = tmp_path / "top" / {"folder": "models", "model": "models/a", "version": "models/a/2"}[linked]
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "old")
    if linked == "version":
        put(tmp_path / "top" / "models", "a", 1)
    opened = open_repository(tmp_path / "top" / "models", CPU)
    before = opened.registry.find("a", None)
    shutil.rmtree(tmp_path / "old")  # for a moment it leads nowhere
    look(opened)
    assert opened.registry.find("a", None) is before
    repoint(link, tmp_path / "new")
    look(opened)
    assert opened.registry.find("a", None).version == 2
    if linked == "version":  # other bytes under the same number would contradict what was answered
        assert opened.registry.find("a", None) is before
        assert "its files changed" in (opened.registry.models["a"].versions[-1].reason or "")


def test_a_repository_is_found_from_where_the_service_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "v1", "a", 1)
    put(tmp_path / "v2", "a", 2)
    (tmp_path / "current").symlink_to("v1")
    monkeypatch.chdir(tmp_path)
    opened = open_repository(Path("current"), CPU)
    monkeypatch.chdir("/")
    repoint(tmp_path / "current", Path("v2"))
    look(opened)
    assert answers(opened) == [2]


@contextmanager
def container(filled: Path, seen_as: Path) -> Iterator[Path]:
    """A process that sees models where others see an empty folder, as the container of KServe's modelcar; its root."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    script = 'mount --bind "$0" "$1" && echo ready && exec sleep 600'
    arguments = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(filled), str(seen_as)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            if process.stdout.readline() != b"ready\n":
                pytest.skip("no process may have mounts of its own here")
            yield Path(f"/proc/{process.pid}/root")
        finally:
            process.kill()


def test_the_root_of_another_container_is_not_taken_for_our_own(tmp_path: Path) -> None:
    seen_as = tmp_path / "models"
    seen_as.mkdir()
    link = tmp_path / "mnt"
    put(tmp_path / "v1", "a", 1)
    put(tmp_path / "v2", "a", 2)
    with container(tmp_path / "v1", seen_as) as root:
        link.symlink_to(root / seen_as.relative_to("/"))
        opened = open_repository(link, CPU)
        assert answers(opened) == [1]
    look(opened)  # that container is gone
    assert answers(opened) == [1]
    with container(tmp_path / "v2", seen_as) as root:
        repoint(link, root / seen_as.relative_to("/"))
        look(opened)
        assert answers(opened) == [2]


def test_what_can_be_read_again_is_taken_in(
    tmp_path: Path, verifier: FakeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(monkeypatch)
    put(tmp_path, "a", 1)
    closed = put(tmp_path, "a", 2)
    verifier.unreadable.add(closed)
    opened = open_repository(tmp_path, CPU)
    assert answers(opened) == [1]
    assert opened.registry.models["a"].versions[1].reason == "cannot be read: Input/output error"
    verifier.unreadable.clear()
    clock.now = 10
    look(opened)
    assert answers(opened) == [2]


def test_a_loaded_version_that_cannot_be_read_any_more_serves_on(tmp_path: Path, verifier: FakeVerifier) -> None:
    path = put(tmp_path, "a", 1)
    opened = open_repository(tmp_path, CPU)
    before = opened.registry.find("a", None)
    verifier.unreadable.add(path)
    os.utime(path)
    look(opened)
    assert opened.registry.find("a", None) is before
    reason = opened.registry.models["a"].versions[0].reason
    assert reason == "cannot be read: Input/output error; what was loaded serves on"


def test_a_file_that_could_be_verified_but_not_loaded_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(monkeypatch)
    put(tmp_path, "a", 1)
    opened = open_repository(tmp_path, CPU)
    put(tmp_path, "a", 2)

    def read(_: Path) -> bytes:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(model_file, "read", read)  # by the loader: the verifier here reads in its own way
        look(opened)
    assert answers(opened) == [1]
    assert opened.registry.models["a"].versions[1].reason == "cannot be read: Stale file handle"
    clock.now = 10
    look(opened)
    assert answers(opened) == [2]


def test_a_plan_is_taken_in_when_it_is_whole(tmp_path: Path, loads: FakeLoads) -> None:
    put(tmp_path, "a", 1, b"portable")
    opened = open_repository(tmp_path, CPU, RegistryOptions(lazy=True))
    opened.load("a")
    portable = opened.registry.find("a", None)
    plan = plan_path(tmp_path, "a", 1, "cpu")
    plan.write_bytes(b"bad: half of")
    look(opened)
    assert opened.registry.find("a", None) is portable
    assert opened.registry.models["a"].versions[0].reason == "model.cpu.onnx: bad: half of"
    plan.write_bytes(b"all of a faster one")
    look(opened)
    assert opened.registry.find("a", None) is not portable
    assert loads.contents == [b"portable", b"all of a faster one"]
    assert opened.registry.models["a"].versions[0].reason is None
    faster = opened.registry.find("a", None)
    plan.unlink()
    look(opened)
    assert opened.registry.find("a", None) is faster


def test_a_plan_that_cannot_be_loaded_leaves_the_version_as_it_is(tmp_path: Path, loads: FakeLoads) -> None:
    put(tmp_path, "a", 1)
    opened = open_repository(tmp_path, CPU)
    portable = opened.registry.find("a", None)
    loads.bad.add(("a", 1))
    plan_path(tmp_path, "a", 1, "cpu").write_bytes(b"a faster one")
    look(opened)
    look(opened)
    assert opened.registry.find("a", None) is portable
    assert opened.registry.models["a"].versions[0].reason == "model.cpu.onnx: no memory on the device"
    assert len(loads.begun) == 2


def test_a_version_may_come_file_by_file_and_piece_by_piece(tmp_path: Path, loads: FakeLoads) -> None:
    put(tmp_path, "a", 1)
    opened = open_repository(tmp_path, CPU)
    folder = tmp_path / "a" / "2"
    folder.mkdir()
    look(opened)
    for name in ("model.cpu.onnx", "model.onnx"):
        for content in (b"bad: a", b"bad: a be", b"good"):
            assert answers(opened) == [1]
            (folder / name).write_bytes(content)
            look(opened)
    assert answers(opened) == [2]
    assert len(loads.begun) == 2


@pytest.mark.parametrize("of", ["list_models", "list_versions"])
def test_a_listing_that_fails_drops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    for name in ("a", "b"):
        for version in (1, 2, 3):
            put(tmp_path, name, version)
    opened = open_repository(tmp_path, CPU, RegistryOptions(keep_versions=1))
    before = opened.registry.models

    def fail(*_: object) -> list[int]:
        raise OSError(107, "Transport endpoint is not connected")

    with monkeypatch.context() as patch:
        patch.setattr(listing, of, fail)
        look(opened)
        assert opened.registry.models == before
    put(tmp_path, "a", 4)
    look(opened)
    assert answers(opened) == [4, 3]
    assert answers(opened, "b") == [3, 2]


@pytest.mark.parametrize("lazy", [True, False])
def test_a_mount_that_leaves_an_empty_folder_behind_takes_no_model_along(tmp_path: Path, lazy: bool) -> None:
    for version in (1, 2):
        put(tmp_path / "models", "a", version)
    opened = open_repository(tmp_path / "models", CPU, RegistryOptions(keep_versions=1, lazy=lazy))
    before = opened.registry.models
    (tmp_path / "models").rename(tmp_path / "mounted")
    (tmp_path / "models").mkdir()
    look(opened)
    assert opened.registry.models == before


def test_versions_kept_for_those_who_name_them_stay_with_the_last_one(tmp_path: Path) -> None:
    for version in (1, 2):
        put(tmp_path, "a", version)
    put(tmp_path, "b", 1)
    opened = open_repository(tmp_path, CPU, RegistryOptions(keep_versions=1))
    shutil.rmtree(tmp_path / "a")
    look(opened)
    assert answers(opened) == [2, 1]
    assert [version.state for version in opened.registry.models["a"].versions] == ["available", "available"]
