"""Everything that only a machine with a GPU can tell, part by part; `tests/gpu/session.sh` starts it.

A part that fails or hangs costs its own time and no other part. `session.json` is written anew all the time, so that a
session that is killed leaves what it found out.
"""

import argparse
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.gpu import exports
from tests.gpu.card_memory import CardMemory
from tests.gpu.figures import write_json
from tests.gpu.part import Part
from tests.serving import ROOT

_LEAST = 8.0  # seconds without which a part is not begun
_TO_END = 8.0  # a part that must be killed takes that long beyond its budget
_CHECKS = {"machine": 30, "placement": 60, "agreement": 45, "service": 60, "graphs": 45, "memory": 30, "marked": 60}
"""The checks and their budgets, in seconds; most take less, and what they leave over goes to the benchmarks."""
_BENCHES = (("digits", ("64", "1", "256"), 25), ("resnet50", ("64", "8", "1"), 250), ("fashion-mnist", ("64", "1"), 90))
"""Networks, batch sizes and budgets."""


def parts(device: str, folder: Path) -> list[Part]:
    """The parts of a session, the surest first: a benchmark may take what is left."""
    given = ("--device", device)
    made = [
        Part(name, seconds, (f"tests.gpu.checks.{name}", *given, "--figures", "FIGURES", "--exports", str(folder)))
        for name, seconds in _CHECKS.items()
    ]
    benches = _BENCHES if device == "cuda" else (("digits", ("8", "1"), 60),)
    for network, batches, seconds in benches:
        command = (
            "tests.bench.gpu", *given, "--networks", network, "--batches", *batches, "--json", "FIGURES",
            "--seconds", "0.3" if device == "cuda" else "0.02", "--packed", str(folder), "--until", "BUDGET",
        )  # fmt: skip
        made.append(Part(f"bench {network}", seconds, command))
    return made


def run(chosen: list[Part], seconds: float, out: Path, about: dict[str, Any]) -> bool:
    """Runs the parts within that time, and returns whether all of them passed."""
    end = time.monotonic() + seconds
    found: dict[str, dict[str, Any]] = {part.name: {"state": "not begun"} for part in chosen}
    out.mkdir(parents=True, exist_ok=True)
    (out / "session.log").unlink(missing_ok=True)

    def write(complete: bool = False) -> None:
        states = [each["state"] for each in found.values()]
        passed = complete and all(state == "passed" for state in states)
        write_json(out / "session.json", {**about, "complete": complete, "passed": passed, "parts": found})

    with CardMemory() as memory:
        for part in chosen:
            left = min(part.seconds, end - time.monotonic() - _TO_END)
            if left < _LEAST:
                found[part.name] = {"state": "no time left"}
                continue
            memory.begin()

            def see(now: dict[str, Any], part: Part = part) -> None:
                found[part.name] = {**now, "most_card_memory_mib": memory.most}
                write()

            print(f"{part.name} …", flush=True)
            part.within(left).run(out / "session.log", see)
            _tell(part.name, found[part.name])
    write(complete=True)
    return all(each["state"] == "passed" for each in found.values())


def _tell(name: str, now: dict[str, Any]) -> None:
    print(f"{name}: {now['state']} after {now['seconds']} s", flush=True)
    if now["state"] != "passed":
        for failure in now["figures"].get("failures", []):
            print(f"  {failure}", flush=True)
        print("  " + "\n  ".join(now["tail"].splitlines()[-8:]), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/gpu/session.sh", description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path(os.environ.get("OUT") or ROOT / "build" / "gpu"))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=510.0, help="for all parts together")
    parser.add_argument("--exports", type=Path, default=exports.FOLDER, help="what --prepare made")
    parser.add_argument("--only", nargs="+", help="these parts alone")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part at work is ended, too
    chosen = parts(options.device, options.exports.resolve())
    if options.only:
        if unknown := set(options.only) - {part.name for part in chosen}:
            parser.error(f"--only: there is no part {sorted(unknown)}")
        chosen = [part for part in chosen if part.name in options.only]
    unpacked = os.environ.get("GPU_UNPACK_LOG")
    about = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": options.device,
        "measured": options.device == "cuda",  # figures of a CPU say nothing but that the code runs
        "exports": exports.names(options.exports),
        "unpacking": Path(unpacked).read_text(errors="replace")[-2000:] if unpacked else None,
    }
    passed = run(chosen, options.seconds, options.out, about)
    print(f"{'all parts passed' if passed else 'not all parts passed'}: {options.out / 'session.json'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
