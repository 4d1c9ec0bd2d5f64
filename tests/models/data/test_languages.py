import unicodedata
from pathlib import Path

import numpy as np
import pytest

from models.data import DatasetError, Split, load
from models.data.languages import (
    IDS,
    LETTERS,
    LISTS,
    LONGEST,
    PADDING,
    UNKNOWN,
    UNSEEN,
    Ids,
    decode,
    encode,
    languages,
    membership,
    unseen,
)
from tests.models.word_lists import made_up, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dict")
    write(folder)
    return folder


def ids(split: Split) -> Ids:
    return np.asarray(split.inputs)


def test_letters_have_ids_and_words_end_in_padding() -> None:
    found = encode(["ab", "ü", "z" * LONGEST])
    assert (found.dtype, found.shape) == (np.int64, (3, LONGEST))
    assert found[0, :3].tolist() == [2, 3, PADDING]
    assert not found[:2, 2:].any()
    assert found.max() < IDS
    assert decode(found) == ["ab", "ü", "z" * LONGEST]


def test_ids_stand_for_the_letters_that_they_encode(folder: Path) -> None:
    symbols = languages(folder).symbols
    assert len(symbols) == IDS
    assert symbols[PADDING] == symbols[UNKNOWN] == ""
    assert [symbols[index] for index in encode(["straße"])[0, :6]] == list("straße")


def test_every_letter_is_lower_case_composed_and_there_once() -> None:
    assert unicodedata.normalize("NFC", LETTERS).lower() == LETTERS
    assert len(set(LETTERS)) == len(LETTERS) == IDS - 2
    assert decode(encode(list(LETTERS))) == list(LETTERS)


def test_case_and_composition_of_a_word_do_not_matter() -> None:
    assert (encode(["E\u0301te\u0301"]) == encode(["été"])).all()


def test_other_letters_are_unknown() -> None:
    assert encode(["łaĉ"])[0, :4].tolist() == [UNKNOWN, 2, UNKNOWN, PADDING]
    assert decode(encode(["ła"])) == ["\ufffda"]


@pytest.mark.parametrize("word", ["", "a" * (LONGEST + 1)])
def test_a_word_that_does_not_fit_is_named(word: str) -> None:
    with pytest.raises(ValueError, match=f"words of 1 to 32 letters, got '{word}'"):
        encode(["a", word])


def test_each_split_has_as_many_words_of_each_language(folder: Path) -> None:
    found = load("languages", folder)
    assert found.classes == tuple(one.language for one in LISTS)
    assert found.input_shape == ("T",)
    for split in (found.train, found.calibration, found.test):
        counts = np.bincount(split.labels, minlength=len(LISTS))
        assert (counts == counts[0]).all()
        assert counts[0] > 0
        assert membership(ids(split), folder)[np.arange(len(split)), split.labels].all()
    again = languages(folder)
    assert (again.train.inputs == found.train.inputs).all()
    assert (again.train.labels == found.train.labels).all()


def test_no_word_is_in_two_splits_even_in_another_language(folder: Path) -> None:
    found = languages(folder)
    words = [set(decode(ids(split))) for split in (found.train, found.calibration, found.test)]
    assert len(set.union(*words)) == sum(map(len, words))
    shared = membership(ids(found.train), folder).sum(axis=1) > 1
    assert shared.any()
    # and a shared word has rows of several languages
    rows = {(word, label) for word, label in zip(decode(ids(found.train)), found.train.labels)}
    assert len(rows) == len(found.train)
    assert len(words[0]) < len(found.train)


def test_another_list_does_not_change_a_words_split(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, swedish=made_up("swedish", 500, seed=9))
    before, after = languages(folder), languages(tmp_path)
    assert not set(decode(ids(before.train))) & set(decode(ids(after.test)))
    assert not set(decode(ids(before.test))) & set(decode(ids(after.train)))


def test_names_abbreviations_and_what_is_no_word_are_left_out(folder: Path, tmp_path: Path) -> None:
    odd = ["Xname", "XYZ", "x's", "x-x", "x1", "x x", "", "x" * 33]
    write(tmp_path, french=[*made_up("french"), *odd])
    rows = encode(["xname", "xyz", "x"])
    assert not membership(rows, tmp_path).any()


def test_german_nouns_are_words(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, german=[*made_up("german"), "Xwort", "XW"])
    german = [one.language for one in LISTS].index("german")
    assert membership(encode(["xwort", "xw"]), tmp_path)[:, german].tolist() == [True, False]


def test_a_list_in_latin_1_is_read(folder: Path) -> None:
    # as Debian's Swedish one
    swedish = [one.language for one in LISTS].index("swedish")
    assert "å" in "".join(decode(ids(languages(folder).train)))
    assert membership(encode([made_up("swedish")[0]]), folder)[0, swedish]


def test_a_missing_list_names_its_package(folder: Path, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "dutch").unlink()
    with pytest.raises(DatasetError, match=r"dutch: no such file; install Debian's package wdutch, or give"):
        languages(tmp_path)
    write(tmp_path)
    (tmp_path / "polish").unlink()
    with pytest.raises(DatasetError, match="package wpolish"):
        unseen(tmp_path)


def test_a_list_with_too_few_words_is_named(tmp_path: Path) -> None:
    write(tmp_path, spanish=["una"])
    with pytest.raises(DatasetError, match="list of spanish holds too few words"):
        languages(tmp_path)


def test_unseen_words_are_in_none_of_the_eight_lists(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, polish=[*made_up("polish"), *made_up("english")])
    found = unseen(tmp_path, count=50)
    assert list(found) == [one.language for one in UNSEEN]
    for rows in found.values():
        assert rows.shape == (50, LONGEST)
        assert not membership(rows, tmp_path).any()
