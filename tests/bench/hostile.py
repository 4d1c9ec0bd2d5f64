"""`make bench-hostile`: what becomes of files that mean harm, and what it costs to find that out.

Prints a table in Markdown: the kind, how many files of it there are and were rejected, the reason of one of them, and
the most seconds and megabytes that any took. Honest files come first, for comparison.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from app.engine.verifier import Verification, verify
from tests.hostile.kinds import all_files
from tests.hostile.places import PLACES
from tests.serving import ROOT

_WIDTH = 80


def put_all(folder: Path, *, slow: bool) -> list[Path]:
    """Puts everything that means harm into a folder; the first word of each name is its kind."""
    for file in all_files():
        if slow or not file.slow:
            (folder / file.name).write_bytes(file.content())
    for name, (put, _) in PLACES.items():
        put(folder / f"path-{name}")
    return sorted(path for path in folder.iterdir() if not path.name.endswith(".2"))


def row(kind: str, found: Sequence[Verification]) -> str:
    rejected = [verification.rejected for verification in found if verification.rejected]
    verdict = (rejected[0] if rejected else "accepted").replace("|", "\\|")
    verdict = verdict if len(verdict) <= _WIDTH else f"{verdict[: _WIDTH - 1]}…"
    seconds, peak = max(one.seconds for one in found), max(one.peak for one in found) / 2**20
    return f"| {kind} | {len(found)} | {len(rejected)} | {verdict} | {seconds:.2f} | {peak:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out what takes half a minute each")
    parser.add_argument("--each", action="store_true", help="a row for each file")
    parser.add_argument("--honest", type=Path, nargs="*", help="files instead of the shipped ones")
    options = parser.parse_args()
    shipped = sorted((ROOT / "models" / "repository").glob("*/*/*.onnx"))
    print("| kind | files | rejected | such as | seconds | MB |\n|---|---|---|---|---|---|")
    print(row("honest", list(verify(path.absolute() for path in options.honest or shipped).values())))
    with tempfile.TemporaryDirectory() as folder:
        paths = put_all(Path(folder), slow=not options.quick)
        found: list[Verification] = []
        for kind, group in groupby(paths, lambda path: path.name if options.each else path.name.partition("-")[0]):
            kinds = list(verify(group).values())
            print(row(kind, kinds), flush=True)
            found += kinds
    if accepted := sum(verification.rejected is None for verification in found):
        sys.exit(f"{accepted} of {len(found)} were accepted")


if __name__ == "__main__":
    main()
