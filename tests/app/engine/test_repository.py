"""The scanner: what is read, and when it is read again."""

from pathlib import Path

import pytest

from app.contract import schema
from app.contract.repository import plan_path
from app.contract.signature import Port, Signature
from app.engine import repository
from app.engine.repository import RepositoryScanner, ScannedVersion
from app.engine.verifier import Verification
from tests.app.engine.fakes import CONTRACT, FakeVerifier, put


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
    scanner.forget_rejected("a")
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
        patch.setattr(repository, "list_versions", fail)
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


@pytest.mark.parametrize(("broken", "reason"), [("model.onnx", "bad"), ("model.cpu.onnx", "model.cpu.onnx: bad")])
def test_a_version_is_rejected_for_any_of_its_files(
    tmp_path: Path, verifier: FakeVerifier, broken: str, reason: str
) -> None:
    put(tmp_path, "a", 1)
    plan_path(tmp_path, "a", 1, "cpu").write_bytes(b"a faster one")
    (tmp_path / "a" / "1" / broken).write_bytes(b"bad")
    assert [version.rejected for version in read(RepositoryScanner(tmp_path, "cpu"))] == [reason]


def test_files_of_one_version_must_hold_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a", 1)
    plan_path(tmp_path, "a", 1, "cpu").write_bytes(b"another")
    other = CONTRACT.model_copy(update={"labels": ("c", "d")})

    def verify(paths: object) -> dict[Path, Verification]:
        contracts: list[schema.Contract] = [CONTRACT, other]
        return {path: Verification(None, contract, "") for path, contract in zip(paths, contracts)}  # type: ignore[call-overload]

    monkeypatch.setattr(repository, "verify", verify)
    (version,) = read(RepositoryScanner(tmp_path, "cpu"))
    assert version.rejected == "model.cpu.onnx: its contract is not that of model.onnx"


def test_a_file_without_a_contract_is_fit_only_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    port = Port(name="x", dtype="float32", sizes=("B", 2))
    signature = Signature(inputs=(port,), outputs=(port,))
    monkeypatch.setattr(repository, "verify", lambda paths: {path: Verification(None, signature, "") for path in paths})
    (version,) = read(RepositoryScanner(tmp_path, "cpu"))
    assert "MASKSEMBLES_ALLOW_BARE_ONNX=true" in (version.rejected or "")
    (version,) = read(RepositoryScanner(tmp_path, "cpu", allow_bare=True))
    assert (version.rejected, version.declared) == (None, signature)
