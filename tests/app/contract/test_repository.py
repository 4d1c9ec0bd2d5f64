from pathlib import Path

import pytest

from app.contract.repository import check_name, list_models, list_versions, parse_reference


@pytest.mark.parametrize("name", ["a", "fashion-mnist", "ResNet_18.v2", "0", "a" * 128])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../etc", "a/../b", "/etc/passwd", "a/", " a", "a ", "a\n", "-a", "ä"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ValueError, match="is not a model name"):
        check_name(name)


@pytest.mark.parametrize("text", ["digits", "digits:", "digits:0", "digits:01", "digits:-1", "digits:x", ":1", "a/b:1"])
def test_bad_references(text: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        parse_reference(text)
    assert parse_reference("digits:12") == ("digits", 12)


def test_a_store_is_read_by_its_folders(tmp_path: Path) -> None:
    for folder in ("b/10", "b/9", "b/x", "b/01", "a/1", ".writing-1/1", "notes"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "file").touch()
    assert list_models(tmp_path) == ["a", "b", "notes"]
    assert list_versions(tmp_path, "b") == [9, 10]
    assert list_versions(tmp_path, "missing") == []


def test_links_count_as_the_folders_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "released" / "2").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name, target in (("a", "released"), ("b", "file"), ("c", "nowhere"), ("..data", "released")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "released" / "3").symlink_to("nowhere")
    assert list_models(tmp_path) == ["a", "c", "released"]  # c may lead somewhere in a moment
    assert list_versions(tmp_path, "a") == [2, 3]
    assert list_versions(tmp_path, "b") == []
    with pytest.raises(FileNotFoundError):
        list_versions(tmp_path, "c")


def test_what_cannot_be_examined_does_not_seem_to_be_gone(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")  # for ever
    assert list_models(tmp_path) == ["a"]
    with pytest.raises(OSError, match="symbolic links"):
        list_versions(tmp_path, "a")
