"""The tables of docs/endurance.md are those of the records."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import record
from tests.bench.endurance import PAGE, fill, tables

SAMPLES = [{"seconds": 60 * at, "megabytes": 100 + at, "descriptors": 20, "threads": 9} for at in range(3)]
SERIES = {"samples": SAMPLES, "growth": {"megabytes": 1.5, "descriptors": 0, "threads": 0}}
FOUND: dict[str, dict[str, Any]] = {
    "fuzz": {
        "openapi": {"cases": 20100, "seconds": 500},
        "binary": {"cases": 20000, "seconds": 200, "statuses": {"400": 15000, "200": 5000}},
    },
    "soak": {
        "seconds": 3600, "versions": 61, "answers": {"load 200": 7000, "bad 422": 1000}, "compared": 6000, "wrong": [],
        "rounds": [{"throughput": 2000.0}, {"throughput": 2100.0}], "series": SERIES,
    },
    "connections": {
        "seconds": 120, "alone": {"answers": 10, "p50_ms": 1.0, "p99_ms": 2.0},
        "beside": {"answers": 11, "p50_ms": 1.5, "p99_ms": 3.0}, "wrong": [],
    },
    "reloads": {
        "seconds": 200, "clients": 64, "answers": {"digits json 200": 1234}, "numbers": 56789, "wrong": ["one"],
        "reloads": {"removed": 10, "published": 40}, "series": SERIES,
    },
}  # fmt: skip


def test_the_page_is_up_to_date() -> None:
    assert fill(PAGE.read_text(), tables(record.RESULTS)) == PAGE.read_text(), "run make endurance"


def test_each_record_has_its_row_and_nothing_is_lost(tmp_path: Path) -> None:
    for name, found in FOUND.items():
        record.write(tmp_path / "made" / f"{name}.json", f"make {name}", found)
    made = tables(tmp_path / "made")
    runs = made["runs"].splitlines()
    assert [line.split(" | ")[0] for line in runs[2:]] == [f"| `make {name}`" for name in FOUND]
    assert "| 12 min | 20,100 + 20,000 requests" in runs[2]
    assert "| 60 min | 8,000 requests, 2,050 a second accepted; 61 versions; 6,000 answers compared, 0 wrong" in runs[3]
    assert "| 120 s | 11 answers beside the others, 99 % within 3.0 ms; alone within 2.0 ms" in runs[4]
    assert (
        "1,234 answers to 64 clients; 56,789 numbers compared; versions: 40 published, 10 removed; 1 wrong" in runs[5]
    )
    assert "| `make soak` | resident MB | 100 | 101 | 102 | 102 | +1.5 |" in made["growth"]
    assert "| `make fuzz` | binary 400 | 15,000 |" in made["answers"]
    assert "| `make soak` | bad 422 | 1,000 |" in made["answers"]


def test_a_record_says_where_it_comes_from(tmp_path: Path) -> None:
    record.write(tmp_path / "a.json", "make it", {"seconds": 1})
    found = json.loads((tmp_path / "a.json").read_text())
    assert found.keys() == {"command", "date", "commit", "machine", "seconds"}
    assert "cores" in found["machine"]


def test_without_records_the_tables_say_so(tmp_path: Path) -> None:
    assert set(tables(tmp_path).values()) == {"No record yet.\n"}
    with pytest.raises(ValueError, match="expected <!-- runs -->"):
        fill("", tables(tmp_path))
