"""What each worker writes down for the others: a file for each, which is replaced as a whole."""

import os
from typing import Generic, TypeVar

import msgspec

from app.workers.place import Place

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()


class Notes(Generic[T]):
    """Notes of one kind. Those of a worker that dies stay, and its successor finds them.

    Args:
        name: of the files, in the folder of what workers share.
        kind: what is written, as msgspec knows it.
        place: that of the worker that writes.
    """

    def __init__(self, name: str, kind: type[T], place: Place) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._files = [place.folder / f"{name}-{index}" for index in range(place.count)]
        self._own = self._files[place.index]

    def write(self, note: T) -> None:
        """Replaces this worker's note."""
        new = self._own.with_suffix(".new")
        new.write_bytes(_encoder.encode(note))
        os.replace(new, self._own)

    def all(self) -> dict[int, T]:
        """The notes of all workers that have written one, by their index."""
        found: dict[int, T] = {}
        for index, file in enumerate(self._files):
            try:
                found[index] = self._decoder.decode(file.read_bytes())
            except FileNotFoundError:  # it has not come so far
                continue
        return found
