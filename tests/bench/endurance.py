"""`make endurance`: rewrites the tables of docs/endurance.md from the records of the long runs; no figure is typed."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import record
from tests.bench.series import FIELDS
from tests.serving import ROOT

PAGE = ROOT / "docs" / "endurance.md"
Record = dict[str, Any]


def fuzz(found: Record) -> str:
    """What `make fuzz` came to."""
    return f"{found['openapi']['cases']:,} + {found['binary']['cases']:,} requests, each answered as documented"


def soak(found: Record) -> str:
    """What `make soak` came to."""
    rounds, requests = found["rounds"], sum(found["answers"].values())
    accepted = sum(part["throughput"] for part in rounds) / len(rounds)
    return (
        f"{requests:,} requests, {accepted:,.0f} a second accepted; {found['versions']} versions; "
        f"{found['compared']:,} answers compared, {len(found['wrong'])} wrong"
    )


def connections(found: Record) -> str:
    """What `make soak-connections` came to."""
    alone, beside = found["alone"], found["beside"]
    return (
        f"{beside['answers']:,} answers beside the others, 99 % within {beside['p99_ms']} ms; alone within "
        f"{alone['p99_ms']} ms; {len(found['wrong'])} wrong"
    )


def reloads(found: Record) -> str:
    """What `make soak-reloads` came to."""
    changes = ", ".join(f"{count} {what}" for what, count in sorted(found["reloads"].items()))
    answers = sum(found["answers"].values())
    return (
        f"{answers:,} answers to {found['clients']} clients; {found['numbers']:,} numbers compared; "
        f"versions: {changes}; {len(found['wrong'])} wrong"
    )


RUNS: dict[str, Callable[[Record], str]] = {
    "fuzz": fuzz,
    "soak": soak,
    "connections": connections,
    "reloads": reloads,
}


def tables(folder: Path) -> dict[str, str]:
    """The tables by name, in Markdown, from the records `<run>.json` that a folder holds."""
    there = {name: record.read(path) for name in RUNS if (path := folder / f"{name}.json").exists()}
    runs = [
        (
            f"`{found['command']}`",
            found["date"],
            f"`{found['commit']}`",
            found["machine"],
            _took(found),
            RUNS[name](found),
        )
        for name, found in there.items()
    ]
    series = {name: found["series"] for name, found in there.items() if "series" in found}
    grown = [
        (f"`{there[name]['command']}`", _unit(field), *_course(of["samples"], field), f"{of['growth'][field]:+g}")
        for name, of in series.items()
        for field in FIELDS
    ]
    answers = [
        (f"`{found['command']}`", kind, f"{count:,}")
        for name, found in there.items()
        for kind, count in _kinds(found).items()
    ]
    return {
        "runs": _table(("command", "date", "commit", "machine", "took", "came to"), runs),
        "growth": _table(("command", "what", "first", "median", "last", "most", "growth after warm-up"), grown),
        "answers": _table(("command", "answers", "how many"), answers),
    }


def fill(text: str, made: dict[str, str]) -> str:
    """A page with tables between their marks, `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        ValueError: a mark is missing.
    """
    for name, table in made.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not (begin and end):
            raise ValueError(f"expected <!-- {name} --> and <!-- /{name} -->")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows] if (rows := list(rows)) else []
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines) or "No record yet.\n"


def _took(found: Record) -> str:
    seconds = found.get("seconds") or sum(part["seconds"] for part in found.values() if isinstance(part, dict))
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"


def _unit(field: str) -> str:
    return "resident MB" if field == "megabytes" else field


def _course(samples: list[dict[str, float]], field: str) -> tuple[str, ...]:
    values = [sample[field] for sample in samples]
    return tuple(f"{value:g}" for value in (values[0], sorted(values)[len(values) // 2], values[-1], max(values)))


def _kinds(found: Record) -> dict[str, int]:
    """Answers by kind: of one kind of client or model, and status."""
    if "binary" in found:
        return {f"binary {status}": count for status, count in sorted(found["binary"]["statuses"].items())}
    answers = found.get("answers", {})
    return answers if isinstance(answers, dict) else {}


def main() -> None:
    PAGE.write_text(fill(PAGE.read_text(), tables(record.RESULTS)))


if __name__ == "__main__":
    main()
