import shutil
from pathlib import Path

import pytest

from app.contract.repository import list_versions, plan_path
from app.engine import listing
from app.engine.listing import list_repository
from tests.app.engine.fakes import put


def test_versions_come_with_the_stamps_of_their_files(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 2, b"another one")
    plan_path(tmp_path, "b", 2, "cuda").write_bytes(b"fast")
    found = list_repository(tmp_path, "cuda")
    assert found.names == {"a", "b"}
    assert not found.versions["a"][1].plan.there
    assert (found.versions["b"][2].portable.size, found.versions["b"][2].plan.size) == (11, 4)
    assert list_repository(tmp_path, "cpu", "b").versions.keys() == {"b"}
    assert list_repository(tmp_path, "cpu", "b").names == {"a", "b"}
    assert list_repository(tmp_path, "cpu", "c").versions == {}


def test_a_link_that_leads_nowhere_is_no_model_that_is_gone(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    (tmp_path / "b").symlink_to("nowhere")
    (tmp_path / "a" / "2").symlink_to("nowhere")
    found = list_repository(tmp_path, "cpu")
    assert found.names == {"a", "b"}
    assert found.unreadable == {"b": "No such file or directory"}
    assert found.versions["a"][2] == listing.VersionListing(None, None)


@pytest.mark.parametrize("linked", ["repository", "model"])
def test_a_link_that_is_repointed_meanwhile_has_all_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: str
) -> None:
    put(tmp_path / "old", "a", 1)
    for version in (1, 2):
        put(tmp_path / "new", "a", version)
    folder, link, inner = tmp_path / "repository", tmp_path / "repository", ""
    if linked == "model":
        folder.mkdir()
        link, inner = folder / "a", "a"
    link.symlink_to(tmp_path / "old" / inner)

    def list_and_repoint(folder: Path, name: str) -> list[int]:
        found = list_versions(folder, name)
        if (tmp_path / "old").exists():
            (tmp_path / "next").symlink_to(tmp_path / "new" / inner)
            (tmp_path / "next").rename(link)
            shutil.rmtree(tmp_path / "old")
        return found

    monkeypatch.setattr(listing, "list_versions", list_and_repoint)
    found = list_repository(folder, "cpu").versions["a"]
    assert [(number, files.portable is not None) for number, files in found.items()] == [(1, True), (2, True)]


def test_a_folder_that_never_stays_the_same_is_listed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    counter = iter(range(1000))
    monkeypatch.setattr(listing, "_identity", lambda _: (0, next(counter)))
    assert list_repository(tmp_path, "cpu").versions["a"].keys() == {1}
