"""Words and the language they come from, out of Debian's word lists: rows are the ids of a word's letters.

A word that several languages share has a row for each language that drew it, so that it is ambiguous; all its rows are
in the same split. docs/data.md says what the lists' licences ask for.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.axis import FreeAxis, Padding
from models.data.dataset import Dataset, DatasetError, Split

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

LETTERS = "abcdefghijklmnopqrstuvwxyzàáâãäåçèéêëìíîïñòóôõöùúûüß"
"""Lower-case, NFC. Letter i has the id i + 2."""
PADDING, UNKNOWN = 0, 1
"""The id of what comes after a word's end, and of every other letter. No word of the eight lists has one."""
IDS = len(LETTERS) + 2
LONGEST = 32
"""Letters of a word."""

_FOLDER = Path("/usr/share/dict")
_TRAIN, _HELD_OUT = 25_000, 1_000  # rows of a language, at most
_SHARE = 1 / 16  # of all words, for calibration and for test


@dataclass(frozen=True)
class WordList:
    """A language's list in a Debian package."""

    language: str
    package: str
    file: str
    capitals: bool = False
    """Whether capitalised words are more than names: German's nouns are."""


LISTS = (
    WordList("english", "wamerican", "american-english"),
    WordList("german", "wngerman", "ngerman", capitals=True),
    WordList("french", "wfrench", "french"),
    WordList("spanish", "wspanish", "spanish"),
    WordList("italian", "witalian", "italian"),
    WordList("dutch", "wdutch", "dutch"),
    WordList("swedish", "wswedish", "swedish"),
    WordList("portuguese", "wportuguese", "portuguese"),
)
UNSEEN = (
    WordList("polish", "wpolish", "polish"),
    WordList("catalan", "wcatalan", "catalan"),
    WordList("esperanto", "wesperanto", "esperanto"),
)


def languages(folder: Path | None = None) -> Dataset:
    """Up to 25,000 words of each of eight languages to train, 1,000 to calibrate, 1,000 to test, as many of each: ids
    int64 [B, T = 32]. The lists are read from `folder`, by default where Debian installs them.

    Raises:
        DatasetError: a list is missing or holds too few words.
    """
    known = _known(folder)
    words, digests = _by_digest(known)
    members = _flags([known[word] for word in words])
    test, calibration = np.searchsorted(digests, [_SHARE * 2.0**64, 2 * _SHARE * 2.0**64])
    return Dataset(
        name="languages",
        classes=tuple(one.language for one in LISTS),
        train=_draw(words[calibration:], members[calibration:], _TRAIN),
        calibration=_draw(words[test:calibration], members[test:calibration], _HELD_OUT),
        test=_draw(words[:test], members[:test], _HELD_OUT),
        value_range=(0, IDS - 1),
        unit="id of a letter",
        layout="",
        symbols=("", "", *LETTERS),
        input_shape=("T",),
        axes={"T": FreeAxis(least=1, most=LONGEST, padding=Padding())},
    )


def membership(rows: Ids, folder: Path | None = None) -> Flags:
    """Which of the eight languages' whole lists have each word: ids [B, T] → bool [B, K]."""
    known = _known(folder)
    return _flags([known.get(word, 0) for word in decode(rows)])


def unseen(folder: Path | None = None, count: int = 2_000) -> dict[str, Ids]:
    """Ids [B, T = 32] of up to `count` words of Polish, Catalan and Esperanto that none of the eight languages has.

    Raises:
        DatasetError: as `languages`.
    """
    known = _known(folder)
    return {one.language: encode(_by_digest(_read(one, folder) - known.keys())[0][:count]) for one in UNSEEN}


def encode(words: Sequence[str]) -> Ids:
    """Words → ids int64 [B, T = 32], padded at the end.

    Raises:
        ValueError: a word has no letter, or more than 32.
    """
    number = {letter: index for index, letter in enumerate(LETTERS, 2)}
    rows = np.full((len(words), LONGEST), PADDING, np.int64)
    for row, word in zip(rows, words):
        letters = unicodedata.normalize("NFC", word).lower()
        if not 0 < len(letters) <= LONGEST:
            raise ValueError(f"expected words of 1 to {LONGEST} letters, got {word!r}")
        row[: len(letters)] = [number.get(letter, UNKNOWN) for letter in letters]
    return rows


def decode(rows: Ids) -> list[str]:
    """Ids [B, T] → words, unknown letters as U+FFFD."""
    letters = np.array(["", "\ufffd", *LETTERS])
    return ["".join(row) for row in letters[rows]]


def _known(folder: Path | None) -> dict[str, int]:
    """Every word of the eight lists, and a bit for each list that has it."""
    known: dict[str, int] = {}
    for label, one in enumerate(LISTS):
        for word in _read(one, folder):
            known[word] = known.get(word, 0) | 1 << label
    return known


def _flags(bits: Sequence[int]) -> Flags:
    """Bits of the lists → bool [B, K]."""
    flags: Flags = np.array(bits, np.int64)[:, None] >> np.arange(len(LISTS)) & 1 == 1
    return flags


def _read(one: WordList, folder: Path | None) -> set[str]:
    path = (folder or _FOLDER) / one.file
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: no such file; install Debian's package {one.package}, or give a folder that holds it"
        ) from None
    try:
        text = content.decode()
    except UnicodeDecodeError:  # Swedish is in ISO 8859-1, whose letters are no UTF-8
        text = content.decode("iso-8859-1")
    return {line.lower() for line in unicodedata.normalize("NFC", text).split("\n") if _is_word(line, one.capitals)}


def _is_word(line: str, capitals: bool) -> bool:
    """Whether a line is a word to learn from. Apostrophes and hyphens tell lists apart rather than languages; names and
    abbreviations belong to none."""
    rest = line[1:] if capitals else line
    return line.isalpha() and rest == rest.lower() and len(line) <= LONGEST


def _by_digest(words: Iterable[str]) -> tuple[list[str], NDArray[np.uint64]]:
    """Words in an order that no other word changes, by a number below 2^64 that decides their split."""
    given = list(words)
    joined = b"".join(hashlib.blake2b(word.encode(), digest_size=8).digest() for word in given)
    digests = np.frombuffer(joined, ">u8").astype(np.uint64)
    order = np.argsort(digests)
    return [given[index] for index in order], digests[order]


def _draw(words: list[str], members: Flags, most: int) -> Split:
    """The first words of each language, as many of each, in the order given."""
    count = min(most, *members.sum(axis=0))
    if not count:
        raise DatasetError(f"the list of {LISTS[members.sum(axis=0).argmin()].language} holds too few words")
    drawn = members & (members.cumsum(axis=0) <= count)
    rows, labels = np.nonzero(drawn)
    return Split(encode([words[row] for row in rows]), labels)
