"""The scanner: what is read, and when it is read again."""

import logging
import os
import time
from pathlib import Path

import pytest

from app.contract import schema
from app.contract.repository import plan_path
from app.contract.signature import Port, Signature
from app.engine import listing, repository
from app.engine.repository import RepositoryScanner
from app.engine.scanned_version import ScannedVersion
from app.engine.stamp import FileStamp
from app.engine.verifier import Verification
from tests.app.engine.fakes import CONTRACT, FakeClock, FakeVerifier, put


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> FakeVerifier:
    verifier = FakeVerifier()
    monkeypatch.setattr(repository, "verify", verifier)
    return verifier


def read(scanner: RepositoryScanner, name: str = "a", *, settled: bool = False) -> list[ScannedVersion]:
    for unverified in scanner.scan(settled=settled).values():
        scanner.verify(unverified)
    return scanner.versions(name)


def test_a_scan_reads_no_file(tmp_path: Path, verifier: FakeVerifier) -> None:
    paths = [put(tmp_path, "a", version) for version in (2, 10)]
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a" / "not-a-version").mkdir()
    scanner = RepositoryScanner(tmp_path, "cpu")
    found = scanner.scan()
    assert [(version.number, version.paths) for version in found["a"]] == [(2, (paths[0],)), (10, (paths[1],))]
    assert [version.size for version in found["a"]] == [7, 7]
    assert scanner.names == {"a"}
    assert scanner.versions("a") == []
    assert verifier.calls == []


def test_versions_are_verified_at_once_and_come_lowest_first(tmp_path: Path, verifier: FakeVerifier) -> None:
    put(tmp_path, "a", 10)
    put(tmp_path, "a", 2, b"bad luck")
    scanner = RepositoryScanner(tmp_path, "cpu")
    low, high = read(scanner)
    assert (low.number, low.rejected, low.declared) == (2, "bad luck", None)
    assert (high.number, high.rejected, high.declared) == (10, None, CONTRACT)
    assert high.path == tmp_path / "a" / "10" / "model.onnx"
    assert len(verifier.calls) == 1


def test_what_did_not_change_is_not_read_again(tmp_path: Path, verifier: FakeVerifier) -> None:
    path = put(tmp_path, "a", 1)
    scanner = RepositoryScanner(tmp_path, "cpu")
    (before,) = read(scanner)
    assert scanner.scan() == {"a": []}
    path.write_bytes(b"another model")
    assert scanner.versions("a") == [before]  # until it is verified
    (after,) = read(scanner)
    assert after.digests != before.digests
    assert len(verifier.calls) == 2


def test_of_two_threads_that_saw_the_same_one_has_it_read(tmp_path: Path, verifier: FakeVerifier) -> None:
    put(tmp_path, "a", 1)
    scanner = RepositoryScanner(tmp_path, "cpu")
    first, second = scanner.scan()["a"], scanner.scan()["a"]
    scanner.verify(first)
    scanner.verify(second)
    assert len(verifier.calls) == 1


def test_what_may_still_be_written_is_left_for_the_next_scan(tmp_path: Path, verifier: FakeVerifier) -> None:
    path = put(tmp_path, "a", 1, b"ha")
    scanner = RepositoryScanner(tmp_path, "cpu")
    assert read(scanner, settled=True) == []
    path.write_bytes(b"half")
    assert read(scanner, settled=True) == []
    assert len(read(scanner, settled=True)) == 1
    path.write_bytes(b"whole")
    assert len(read(scanner)) == len(verifier.calls[1:]) == 1  # without waiting


def test_the_rejected_are_read_again_on_request(tmp_path: Path, verifier: FakeVerifier) -> None:
    for name in ("a", "b"):
        put(tmp_path, name, 1, b"bad")
        put(tmp_path, name, 2)
    scanner = RepositoryScanner(tmp_path, "cpu")
    read(scanner)
    scanner.look_again("a")
    assert [version.rejected for version in scanner.versions("a")] == ["bad", None]  # until it is verified
    assert [(version.name, version.number) for found in scanner.scan().values() for version in found] == [("a", 1)]


def test_one_model_can_be_looked_at_alone(tmp_path: Path, verifier: FakeVerifier) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 1)
    scanner = RepositoryScanner(tmp_path, "cpu")
    read(scanner)
    put(tmp_path, "a", 2)
    put(tmp_path, "b", 2)
    (tmp_path / "b" / "1" / "model.onnx").unlink()
    assert [version.number for version in scanner.scan("a")["a"]] == [2]
    assert scanner.scan("c") == {}
    assert [version.number for version in scanner.versions("b")] == [1]


def test_what_is_gone_is_forgotten(tmp_path: Path, verifier: FakeVerifier) -> None:
    for version in (1, 2):
        put(tmp_path, "a", version)
    scanner = RepositoryScanner(tmp_path, "cpu")
    read(scanner)
    (tmp_path / "a" / "2" / "model.onnx").unlink()
    (tmp_path / "a" / "2").rmdir()
    assert [version.number for version in read(scanner)] == [1]
    (tmp_path / "a").rename(tmp_path / "b")
    assert read(scanner) == []
    assert scanner.names == {"b"}
    assert not scanner.has("a")
    assert scanner.has("b")


def test_a_model_that_cannot_be_read_for_a_moment_keeps_what_is_known(
    tmp_path: Path, verifier: FakeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    scanner = RepositoryScanner(tmp_path, "cpu")
    before = read(scanner)

    def fail(*_: object) -> list[int]:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(listing, "list_versions", fail)
        assert read(scanner) == before
        assert scanner.unreadable == {"a": "Permission denied"}
    assert read(scanner) == before
    assert scanner.unreadable == {}
    assert len(verifier.calls) == 1


def test_a_repository_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RepositoryScanner(tmp_path / "missing", "cpu")
    scanner = RepositoryScanner(tmp_path, "cpu")
    tmp_path.rename(tmp_path.parent / "elsewhere")
    with pytest.raises(FileNotFoundError):
        scanner.scan()
    assert not scanner.has("a")


def test_the_plan_of_the_device_is_chosen_and_verified_last(tmp_path: Path, verifier: FakeVerifier) -> None:
    portable = put(tmp_path, "a", 1)
    plan = plan_path(tmp_path, "a", 1, "cuda")
    plan.write_bytes(b"a faster one")
    (version,) = read(RepositoryScanner(tmp_path, "cuda"))
    assert version.path == plan
    assert verifier.calls == [[portable, plan]]
    (version,) = read(RepositoryScanner(tmp_path, "cpu"))
    assert version.path == portable


def test_a_version_is_rejected_for_its_portable_file_alone(tmp_path: Path, verifier: FakeVerifier) -> None:
    portable = put(tmp_path, "a", 1)
    plan = plan_path(tmp_path, "a", 1, "cpu")
    plan.write_bytes(b"bad")
    (version,) = read(RepositoryScanner(tmp_path, "cpu"))
    assert (version.rejected, version.remark, version.path) == (None, "model.cpu.onnx: bad", portable)
    portable.write_bytes(b"bad luck")
    plan.write_bytes(b"a faster one")
    assert [version.rejected for version in read(RepositoryScanner(tmp_path, "cpu"))] == ["bad luck"]


def test_files_of_one_version_must_hold_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a", 1)
    plan_path(tmp_path, "a", 1, "cpu").write_bytes(b"another")
    other = CONTRACT.with_head(CONTRACT.head, labels=("c", "d"))

    def verify(paths: object, *_: object, **__: object) -> dict[Path, Verification]:
        contracts: list[schema.Contract] = [CONTRACT, other]
        return {path: Verification(None, contract, "") for path, contract in zip(paths, contracts)}  # type: ignore[call-overload]

    monkeypatch.setattr(repository, "verify", verify)
    (version,) = read(RepositoryScanner(tmp_path, "cpu"))
    assert version.rejected is None
    assert version.remark == "model.cpu.onnx: its contract is not that of model.onnx"


def test_a_file_without_a_contract_is_fit_only_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    port = Port(name="x", dtype="float32", sizes=("B", 2))
    signature = Signature(inputs=(port,), outputs=(port,))
    terms: list[object] = []

    def verify(paths: list[Path], device: str, *, allow_bare: bool) -> dict[Path, Verification]:
        terms.append((device, allow_bare))
        return {path: Verification(None, signature, "") for path in paths}

    monkeypatch.setattr(repository, "verify", verify)
    (version,) = read(RepositoryScanner(tmp_path, "cpu"))
    assert "MASKSEMBLES_ALLOW_BARE_ONNX=true" in (version.rejected or "")
    (version,) = read(RepositoryScanner(tmp_path, "cpu", allow_bare=True))
    assert (version.rejected, version.declared) == (None, signature)
    read(RepositoryScanner(tmp_path, "cuda"))
    assert terms == [("cpu", False), ("cpu", True), ("cuda", False)]


def test_the_log_says_what_a_verification_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a", 1)
    plan_path(tmp_path, "a", 1, "cpu").write_bytes(b"a model")
    costs = [{"seconds": 1.25, "peak": 100 * 2**20}, {"seconds": 0.25, "peak": 300 * 2**20}]

    def verify(paths: list[Path], *_: object, **__: object) -> dict[Path, Verification]:
        return {path: Verification(None, CONTRACT, "", **cost) for path, cost in zip(paths, costs)}  # type: ignore[arg-type]

    monkeypatch.setattr(repository, "verify", verify)
    with caplog.at_level(logging.INFO):
        read(RepositoryScanner(tmp_path, "cpu"))
    assert "a:1: to verify it took 1.50 s and 300 MB" in caplog.messages


def test_what_could_not_be_read_is_tried_again_and_ever_less_often(
    tmp_path: Path, verifier: FakeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "a", 1)
    verifier.unreadable.add(path)
    clock = FakeClock(monkeypatch)
    scanner = RepositoryScanner(tmp_path, "cpu")
    tries = []
    for second in range(200):
        clock.now = second
        before = len(verifier.calls)
        (version,) = read(scanner, settled=second > 0)
        assert (version.rejected, version.unreadable) == ("cannot be read: Input/output error", True)
        tries += [second] * (len(verifier.calls) - before)
    assert tries == [0, 2, 6, 14, 30, 62, 122, 182]
    verifier.unreadable.clear()
    clock.now = 250
    (version,) = read(scanner, settled=True)
    assert (version.rejected, version.unreadable) == (None, False)
    clock.now = 10_000
    assert scanner.scan() == {"a": []}


def test_a_file_that_is_not_there_is_not_looked_at_before_it_comes(
    tmp_path: Path, verifier: FakeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "a", 1)
    path.unlink()
    verifier.unreadable.add(path)
    clock = FakeClock(monkeypatch)
    scanner = RepositoryScanner(tmp_path, "cpu")
    read(scanner)
    clock.now = 1000
    assert scanner.scan() == {"a": []}


def test_what_changes_within_a_step_of_the_clock_is_noticed(
    tmp_path: Path, verifier: FakeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "a", 1, b"a model")
    stamp = FileStamp.of(path)
    monkeypatch.setattr(FileStamp, "of", lambda path: stamp if path.exists() else FileStamp(path.name))
    clock = FakeClock(monkeypatch)
    scanner = RepositoryScanner(tmp_path, "cpu")
    (before,) = read(scanner)
    path.write_bytes(b"a modem")
    clock.now = 1.9
    assert scanner.scan() == {"a": []}
    clock.now = 2
    (after,) = read(scanner)
    assert after.digests != before.digests
    clock.now = 1000
    assert scanner.scan() == {"a": []}
    assert len(verifier.calls) == 2


def test_a_file_that_was_long_there_is_not_read_twice(
    tmp_path: Path, verifier: FakeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = FileStamp.of(put(tmp_path, "a", 1))._replace(modified=0, changed=time.time_ns() - 3600 * 10**9)
    monkeypatch.setattr(FileStamp, "of", lambda path: stamp if path.exists() else FileStamp(path.name))
    clock = FakeClock(monkeypatch)
    scanner = RepositoryScanner(tmp_path, "cpu")
    read(scanner)
    clock.now = 10
    assert scanner.scan() == {"a": []}


@pytest.mark.parametrize("in_place", [True, False])
def test_the_same_time_and_size_do_not_make_the_same_file(
    tmp_path: Path, verifier: FakeVerifier, in_place: bool
) -> None:
    path = put(tmp_path, "a", 1, b"a model")
    os.utime(path, (1, 1))
    scanner = RepositoryScanner(tmp_path, "cpu")
    (before,) = read(scanner)
    other = path if in_place else path.with_name("other")
    time.sleep(0.02)  # a step of the clock of any file system that tests run on
    other.write_bytes(b"a modem")
    os.utime(other, (1, 1))
    other.rename(path)
    (after,) = read(scanner)
    assert after.digests != before.digests


def test_a_growing_plan_does_not_hold_up_its_version(tmp_path: Path, verifier: FakeVerifier) -> None:
    portable = put(tmp_path, "a", 1)
    plan = plan_path(tmp_path, "a", 1, "cpu")
    scanner = RepositoryScanner(tmp_path, "cpu")
    found = []
    for part in (b"f", b"fa", b"fast", b"faster", None):
        if part is not None:
            plan.write_bytes(part)
        found.append([version.path for version in read(scanner, settled=True)])
    assert found == [[], [portable], [portable], [portable], [plan]]
    assert len(verifier.calls) == 2


def test_a_file_that_was_fit_and_cannot_be_loaded_is_doubted_and_looked_at_again(
    tmp_path: Path, verifier: FakeVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    portable = put(tmp_path, "a", 1)
    plan = plan_path(tmp_path, "a", 1, "cpu")
    plan.write_bytes(b"a faster one")
    clock = FakeClock(monkeypatch)
    clock.now = 10  # past the clock's step
    scanner = RepositoryScanner(tmp_path, "cpu")
    (fit,) = read(scanner)
    scanner.doubt(fit, "cannot be read: Stale file handle")
    (half,) = scanner.versions("a")
    assert (half.path, half.remark) == (portable, "model.cpu.onnx: cannot be read: Stale file handle")
    scanner.doubt(half, "cannot be read: Stale file handle")
    (unfit,) = scanner.versions("a")
    assert (unfit.rejected, unfit.unreadable) == ("cannot be read: Stale file handle", True)
    clock.now = 15
    assert read(scanner) == [fit]
    portable.write_bytes(b"another")
    (news,) = read(scanner)
    scanner.doubt(fit, "too late")
    assert scanner.versions("a") == [news]


@pytest.mark.parametrize("of", ["version", "plan"])
def test_what_cannot_be_examined_for_a_moment_stays_as_it_was(tmp_path: Path, verifier: FakeVerifier, of: str) -> None:
    put(tmp_path / "elsewhere", "a", 1)
    plan_path(tmp_path / "elsewhere", "a", 1, "cpu").write_bytes(b"a faster one")
    (tmp_path / "repository" / "a").mkdir(parents=True)
    link = tmp_path / "repository" / "a" / "1"
    if of == "version":
        link.symlink_to(tmp_path / "elsewhere" / "a" / "1")
    else:
        put(tmp_path / "repository", "a", 1)
        link = plan_path(tmp_path / "repository", "a", 1, "cpu")
        link.symlink_to(plan_path(tmp_path / "elsewhere", "a", 1, "cpu"))
    scanner = RepositoryScanner(tmp_path / "repository", "cpu")
    before = read(scanner)
    (tmp_path / "elsewhere").rename(tmp_path / "gone")
    assert read(scanner) == before
    assert len(verifier.calls) == 1


def test_a_folder_that_is_suddenly_another_one_and_empty_is_an_error(tmp_path: Path, verifier: FakeVerifier) -> None:
    put(tmp_path / "repository", "a", 1)
    scanner = RepositoryScanner(tmp_path / "repository", "cpu")
    before = read(scanner)
    (tmp_path / "repository").rename(tmp_path / "mounted")
    (tmp_path / "repository").mkdir()
    with pytest.raises(OSError, match="it is empty, and not the folder that held the models"):
        scanner.scan()
    assert scanner.versions("a") == before
    put(tmp_path / "repository", "b", 1)  # not empty: it is meant
    assert read(scanner) == []
