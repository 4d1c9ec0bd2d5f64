"""Word lists as Debian installs them, of words that are made up."""

import random
from collections.abc import Sequence
from pathlib import Path

from models.data.languages import LISTS, UNSEEN

_COUNT = 400
_SHARED = 80
_ALPHABETS = {
    one.language: letters
    for one, letters in zip(
        (*LISTS, *UNSEEN),
        ("thwy", "chßu", "eéàx", "ñosz", "iazz", "ijkë", "åäör", "ãçõm", "łszc", "ïxtl", "ĉoaj"),
    )
}


def made_up(language: str, count: int = _COUNT, seed: int = 0) -> list[str]:
    """Words of a few letters that stand for a language."""
    drawn = random.Random(f"{language} {seed}")
    found: set[str] = set()
    while len(found) < count:
        found.add("".join(drawn.choices(_ALPHABETS[language], k=drawn.randint(3, 9))))
    return sorted(found)


def write(folder: Path, **lists: Sequence[str]) -> None:
    """A list for each language, which share some words; or those given."""
    shared = ["".join(random.Random(index).choices("abcdef", k=6)) for index in range(_SHARED)]
    for one in (*LISTS, *UNSEEN):
        words = lists.get(one.language, [*made_up(one.language), *shared])
        encoding = "iso-8859-1" if one.language == "swedish" else "utf-8"
        (folder / one.file).write_text("".join(f"{word}\n" for word in words), encoding)
