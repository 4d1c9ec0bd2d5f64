"""API keys: how the operator writes them down and how new ones are made. Only hashes are stored.

A key is 32 random bytes, so its SHA-256 can be neither guessed nor looked up, and needs no salt or slow hash.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Scope = Literal["predict", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "mske_"
_LINE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63}):(?P<scopes>[a-z+]+):(?P<digest>[0-9a-f]{64})")
_EXPECTED = "expected name:scopes:digest, such as ci:predict+metrics:<64 hexadecimal digits>"


@dataclass(frozen=True)
class Key:
    """What the service knows about a key: its owner's name, its scopes, and its SHA-256."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes


def parse_keys(text: str) -> tuple[Key, ...]:
    """Parses keys written as `name:scope+scope:sha256`, separated by commas or lines; # starts a comment.

    Raises:
        ValueError: a key has another form, or a name or digest occurs twice. The message never contains a digest.
    """
    keys: list[Key] = []
    lines = [part.strip() for line in text.splitlines() for part in line.partition("#")[0].split(",")]
    for number, line in enumerate(filter(None, lines), 1):
        found = _LINE.fullmatch(line)
        if found is None:  # told by number: somebody may have written the key itself here
            raise ValueError(f"key {number}: {_EXPECTED}")
        scopes = found["scopes"].split("+")
        if unknown := set(scopes) - set(SCOPES):
            raise ValueError(f"key {number}: unknown scope {sorted(unknown)[0]!r}; there are: {', '.join(SCOPES)}")
        keys.append(Key(found["name"], frozenset(scopes), bytes.fromhex(found["digest"])))  # type: ignore[arg-type]
    for kind, values in (("name", [key.name for key in keys]), ("digest", [key.digest for key in keys])):
        if len(set(values)) != len(values):
            raise ValueError(f"a {kind} is there twice")
    return tuple(keys)


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: see parse_keys; or the file has no key.
    """
    keys = parse_keys(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a byte order mark
    if not keys:  # an empty file would let everybody in
        raise ValueError("there is no key in it")
    return keys


def make_key(name: str, scopes: str) -> tuple[str, str]:
    """A new key, and the line that admits it.

    Raises:
        ValueError: see parse_keys.
    """
    key = _PREFIX + secrets.token_urlsafe(32)
    line = f"{name}:{scopes}:{sha256(key.encode()).hex()}"
    if _LINE.fullmatch(line) is None:  # a name with a comma could be two keys to parse_keys
        raise ValueError(f"key 1: {_EXPECTED}")
    parse_keys(line)
    return key, line


def sha256(key: bytes) -> bytes:
    """The digest that is stored for a key."""
    return hashlib.sha256(key).digest()
