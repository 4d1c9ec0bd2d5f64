"""How much of its rate each key has left, for several processes that serve together."""

import fcntl
import hashlib
import mmap
import os
import struct
from pathlib import Path

from app.auth.buckets import most_tokens, take_token

_SLOT = struct.Struct("16sdd")  # digest of a name, tokens left, and when that was
_SLOTS = 4096  # for more names at once, the one that was asked longest ago begins anew


class SharedBuckets:
    """Those of several processes, in a file that all of them map into memory.

    The system gives back the lock of a process that dies.

    Args:
        file: is made where there is none.
    """

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        if os.fstat(self._file).st_size == 0:  # written, not left empty: a full disk would end who touches a hole
            os.write(self._file, bytes(_SLOTS * _SLOT.size))
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._slots = mmap.mmap(self._file, _SLOTS * _SLOT.size)
        self._places: dict[str, tuple[bytes, int]] = {}

    def take(self, name: str, rate: float, now: float) -> float:
        """Takes a token. Returns 0, or the seconds until the next token."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            digest, place = self._places.get(name) or self._find(name)
            found, left, at = _SLOT.unpack_from(self._slots, place)
            if found != digest:  # another process needed the slot
                digest, place = self._find(name)
                found, left, at = _SLOT.unpack_from(self._slots, place)
            if found != digest:
                left, at = most_tokens(rate), now
            left, at, wait = take_token(left, at, rate, now)
            _SLOT.pack_into(self._slots, place, digest, left, at)
            return wait
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _find(self, name: str) -> tuple[bytes, int]:
        """The place of a name: its own, or else that of the one that was asked longest ago, if ever."""
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        slots = [(at, place, found) for place, (found, _, at) in enumerate(_SLOT.iter_unpack(self._slots))]
        place = next((place for _, place, found in slots if found == digest), min(slots)[1])
        self._places[name] = digest, place * _SLOT.size
        return self._places[name]
