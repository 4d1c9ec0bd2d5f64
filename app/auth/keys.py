"""API keys: how the operator writes them down, and how a new one is made. Only hashes are ever stored.

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
    """What is known of a key: whose it is, what it may do, and its SHA-256."""

    name: str
    scopes: frozenset[Scope]
    digest: bytes


def parse_keys(text: str) -> tuple[Key, ...]:
    """Keys written as `name:scope+scope:sha256`, separated by commas or lines; # begins a comment.

    Raises:
        ValueError: one is not written like that, or a name or digest is there twice. The message never has a digest.
    """
    keys: list[Key] = []
    lines = [part.strip() for line in text.splitlines() for part in line.partition("#")[0].split(",")]
    for number, line in enumerate(filter(None, lines), 1):
        found = _LINE.fullmatch(line)
        if found is None:
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
        OSError: it cannot be read.
        ValueError: see parse_keys; or it has none.
    """
    keys = parse_keys(path.read_text(encoding="utf-8-sig"))
    if not keys:
        raise ValueError("there is no key in it")
    return keys


def make_key(name: str, scopes: str) -> tuple[str, str]:
    """A new key, and the line that lets it in.

    Raises:
        ValueError: see parse_keys.
    """
    key = _PREFIX + secrets.token_urlsafe(32)
    line = f"{name}:{scopes}:{sha256(key.encode()).hex()}"
    if _LINE.fullmatch(line) is None:
        raise ValueError(f"key 1: {_EXPECTED}")
    parse_keys(line)
    return key, line


def sha256(key: bytes) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key).digest()
