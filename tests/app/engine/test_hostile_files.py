"""Files that mean harm are rejected with a reason, whatever they do to whoever reads or loads them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.contract.repository import check_name
from app.engine.verifier import Verification, verify
from tests.hostile.file import Hostile, honest
from tests.hostile.kinds import all_files

FILES = all_files()
QUICK = [file for file in FILES if not file.slow]
SLOW = [file for file in FILES if file.slow]
MOST_MEGABYTES = 700  # most of it for a contract of 100 MB


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Verification]:
    """What became of the quick ones, all verified together, and of an honest file after each ten of them."""
    folder = tmp_path_factory.mktemp("hostile")
    for at, file in enumerate(QUICK):
        (folder / f"{at:03}-{file.name}").write_bytes(file.content())
        if at % 10 == 9:
            (folder / f"{at:03}-~honest").write_bytes(honest().SerializeToString())
    return {path.name[4:]: verification for path, verification in verify(sorted(folder.iterdir())).items()}


def assert_rejected(file: Hostile, verification: Verification) -> None:
    reason = verification.rejected or "accepted"
    assert any(said in reason for said in file.reasons)
    assert reason.isprintable()
    assert len(reason) <= 500
    assert verification.declared is None


@pytest.mark.parametrize("file", QUICK, ids=lambda file: file.name)
def test_it_is_rejected_at_little_cost(found: Mapping[str, Verification], file: Hostile) -> None:
    assert_rejected(file, found[file.name])
    assert found[file.name].peak < MOST_MEGABYTES * 2**20


def test_an_honest_file_among_them_is_accepted(found: Mapping[str, Verification]) -> None:
    assert found["~honest"].rejected is None
    assert found["~honest"].declared is not None


@pytest.mark.parametrize("file", SLOW, ids=lambda file: file.name)
def test_it_is_rejected_when_its_time_is_up(tmp_path: Path, file: Hostile) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(file.content())
    verification = verify([path], module="tests.app.engine.hasty_verifier")[path]
    assert_rejected(file, verification)
    assert verification.again is None  # or it would take as long every ten minutes


def test_every_name_is_one_that_a_model_may_have() -> None:
    names = [check_name(file.name) for file in FILES]
    assert len(set(names)) == len(names) > 70
