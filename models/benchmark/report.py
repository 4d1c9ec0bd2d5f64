"""Rebuilds docs/results.md: runs studies, writes their tables and plots, and publishes their models."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import artefact
from models.benchmark.runner import repository, work
from models.benchmark.studies import Study

RESULTS = Path(__file__).parent / "results"
"""The folder of the tables and plots that docs/results.md shows."""


def rebuild(studies: Sequence[Study], folder: Path, results: Path, data: Path | None = None) -> list[str]:
    """Trains, exports and measures what is missing, and writes the results.

    Args:
        folder: for checkpoints and models, those of each study in a folder of its own.
        results: for `figures.json`, a table of each kind as a Markdown file, and plots.
        data: see `models.benchmark.runner.work`.

    Returns:
        The tables.

    Raises:
        CheckpointError, DatasetError: see there.
    """
    tables: dict[str, str] = {}
    figures: dict[str, Any] = {}
    for study in studies:
        found = work(study, folder / study.name, data)
        results.mkdir(parents=True, exist_ok=True)
        report = study.report(found, repository(folder / study.name), results)
        tables |= report.tables
        figures |= report.figures
    for name, table in tables.items():
        (results / f"{name}.md").write_text(table)
    (results / "figures.json").write_text(json.dumps(figures, sort_keys=True) + "\n")
    return list(tables.values())


def publish(studies: Sequence[Study], folder: Path, target: Path = artefact.REPOSITORY) -> list[str]:
    """Copies the models that studies publish into a model repository, each as its next version.

    Returns:
        Their names there.
    """
    published = []
    for study in studies:
        made = repository(folder / study.name)
        for name, wanted in study.published().items():
            model, _, version = artefact.read(made, name)
            plans = artefact.read_plans(made, name, version)
            artefact.write(model, target, wanted, plans={device: plan for device, (plan, _) in plans.items()})
            published.append(wanted)
    return published


def fill(page: Path, results: Path) -> None:
    """Inserts tables between their marks in a Markdown file, `<!-- NAME -->` … `<!-- /NAME -->`.

    Raises:
        ValueError: an opening mark has no closing one.
    """
    text = page.read_text()
    for table in sorted(results.glob("*.md")):
        before, begin, rest = text.partition(f"<!-- {table.stem} -->\n")
        if not begin:
            continue
        _, end, after = rest.partition(f"<!-- /{table.stem} -->")
        if not end:
            raise ValueError(f"{page}: <!-- {table.stem} --> has no <!-- /{table.stem} -->")
        text = f"{before}{begin}\n{table.read_text()}\n{end}{after}"
    page.write_text(text)
