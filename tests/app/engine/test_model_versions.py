from app.contract import signature
from app.contract.signature import Signature
from app.engine.model_versions import ModelVersions, VerifiedModel
from app.engine.scanned_version import ScannedVersion
from tests.app.engine.fakes import CONTRACT, FakeSession, fake

SCANNED = ScannedVersion("a", 3, ())


def test_a_verified_model_tells_what_its_file_declares() -> None:
    model = VerifiedModel(SCANNED, CONTRACT)
    assert (model.name, model.version, model.contract) == ("a", 3, CONTRACT)
    assert model.signature == signature.of(CONTRACT)


def test_one_without_a_contract_tells_its_signature() -> None:
    declared = Signature(inputs=(), outputs=())
    model = VerifiedModel(SCANNED, declared)
    assert model.contract is None
    assert model.signature is declared


def test_the_default_comes_first_and_only_what_is_in_memory_is_loaded() -> None:
    kept = fake(FakeSession(), version=2)
    verified = VerifiedModel(SCANNED, CONTRACT)
    found = ModelVersions((), verified, (kept,))
    assert found.available == (verified, kept)
    assert found.loaded == {2: kept}
    assert ModelVersions().available == ()
    assert ModelVersions().loaded == {}
