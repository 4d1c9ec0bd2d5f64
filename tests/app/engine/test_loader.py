import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.contract import policy
from app.contract.signature import Port, Signature
from app.engine import loader
from app.engine.device import Device
from app.engine.loader import Loader
from app.engine.model import LoadOptions
from app.engine.model_versions import VerifiedModel
from app.engine.scanned_version import ScannedVersion
from app.failures import ModelRejected, PolicyMismatch
from tests.app.engine.fakes import CONTRACT, put
from tests.hostile.places import PLACES

PORT = Port(name="x", dtype="float32", sizes=("B", 2))
BARE = Signature(inputs=(PORT,), outputs=(PORT,))


def options(policies: str = "") -> LoadOptions:
    return LoadOptions(Device("cpu", "cpu", "for tests"), policies=policy.parse_all(policies))


def verified(folder: Path, declared: Any = CONTRACT) -> VerifiedModel:
    path = put(folder, "a", 1)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return VerifiedModel(ScannedVersion("a", 1, (), path=path, digests=("of another file", digest)), declared)


@pytest.mark.parametrize(("declared", "function"), [(CONTRACT, "load"), (BARE, "load_bare")])
def test_the_verified_bytes_are_loaded_as_what_they_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: Any, function: str
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(loader, function, lambda *arguments: given.extend(arguments))
    chosen = options()
    Loader(chosen).load(verified(tmp_path, declared))
    assert given == ["a", 1, declared, b"a model", chosen]


def test_other_bytes_than_those_that_were_verified_are_not_loaded(tmp_path: Path) -> None:
    version = verified(tmp_path)
    version.scanned.path.write_bytes(b"another")
    with pytest.raises(ModelRejected, match="its bytes changed after they were verified"):
        Loader(options()).load(version)
    version.scanned.path.unlink()
    with pytest.raises(ModelRejected, match="cannot be read: No such file or directory"):
        Loader(options()).load(version)


@pytest.mark.parametrize(("put_other", "reason"), PLACES.values(), ids=PLACES)
def test_what_takes_the_place_of_a_verified_file_is_not_read(
    tmp_path: Path, put_other: Callable[[Path], None], reason: str
) -> None:
    version = verified(tmp_path)
    version.scanned.path.unlink()
    put_other(version.scanned.path)
    with pytest.raises(ModelRejected, match=reason):
        Loader(options()).load(version)


def test_a_policy_that_cannot_be_kept_is_found_before_the_file_is_read(tmp_path: Path) -> None:
    version = verified(tmp_path)
    version.scanned.path.unlink()
    with pytest.raises(PolicyMismatch, match=r"MASKSEMBLES_POLICY: a:1: .*entropy"):
        Loader(options("a=defer entropy>p95")).load(version)


def test_the_policy_is_the_operators_where_there_is_one(tmp_path: Path) -> None:
    version = verified(tmp_path)
    assert Loader(options()).policies(version) == {}
    found = Loader(options("*=defer entropy>0.5")).policies(version)
    assert {head: one.source for head, one in found.items()} == {"": "operator"}
    assert Loader(options("a=none; *=defer entropy>0.5")).policies(version) == {}


def test_without_a_contract_there_are_no_scores_to_decide_by(tmp_path: Path) -> None:
    version = verified(tmp_path, BARE)
    assert Loader(options("*=defer entropy>0.5")).policies(version) == {}
    with pytest.raises(PolicyMismatch, match="a:1 has no contract, hence no scores"):
        Loader(options("a=defer entropy>0.5")).policies(version)
