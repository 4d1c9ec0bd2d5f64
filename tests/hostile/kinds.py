"""All files that mean harm."""

from tests.hostile import contracts, external, functions, loads, names, nesting, sizes
from tests.hostile.file import Hostile

_KINDS = (external, sizes, nesting, contracts, names, functions, loads)


def all_files() -> list[Hostile]:
    """Every file of every kind."""
    return [file for kind in _KINDS for file in kind.files()]
