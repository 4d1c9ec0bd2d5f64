"""Rebuilds docs/results.md: works a study off, writes its tables and pictures, and publishes its models."""

import json
from pathlib import Path
from typing import Any

from models import artefact
from models.benchmark import figures, sinusoids, tables
from models.benchmark.cost import seconds
from models.benchmark.runner import store, work
from models.benchmark.studies import Study, typical

RESULTS = Path(__file__).parent / "results"
"""Where the tables and pictures lie that docs/results.md shows."""


def rebuild(study: Study, folder: Path, results: Path, data: Path | None = None) -> list[str]:
    """Trains, exports and measures what is not done yet, and writes it down.

    Args:
        folder: for checkpoints and models.
        results: for `figures.json`, a table of each kind as a Markdown file, and pictures.
        data: see `models.benchmark.runner.work`.

    Returns:
        The tables.

    Raises:
        CheckpointError, DatasetError: see there.
    """
    found = work(study, folder, data)
    results.mkdir(parents=True, exist_ok=True)
    written: dict[str, Any] = {"entries": {name: [_short(one) for one in each] for name, each in found.items()}}
    points = {
        f"{entry.name}-{entry.seeds[0]}": entry.label for entry in study.compared if not (entry.held_out or entry.tried)
    }
    single = next(name for name in points if name.startswith("all-single"))
    pages = {
        "predictive": tables.predictive(study.compared, found),
        "severities": tables.severities(study.compared, found),
        "ood": tables.ood(study.compared, found),
    }
    figures.severity(study.compared, found, results / "severity.png")
    figures.transition(study.compared, found, results / "transition.png")
    if study.data == "fashion-mnist":
        path = sinusoids.work(folder, store(folder))
        pages["sinusoids"] = tables.path(path)
        sinusoids.draw(path, results / "sinusoids.png")
        written["sinusoids"] = {
            name: {key: value for key, value in point.items() if key != "entropy"} for name, point in path.items()
        }
    written["seconds"] = times = seconds(store(folder), single, points)
    pages["seconds"] = tables.seconds(times, points)
    for name, page in pages.items():
        (results / f"{name}.md").write_text(page)
    (results / "figures.json").write_text(json.dumps(written, sort_keys=True) + "\n")
    return list(pages.values())


def _short(figures: dict[str, Any]) -> dict[str, Any]:
    """What was measured, without the curves."""
    curves = ("reliability", "reliability_uncalibrated", "risk_by_coverage")
    return figures | {"test": {name: value for name, value in figures["test"].items() if name not in curves}}


def publish(study: Study, folder: Path, target: Path = artefact.REPOSITORY) -> list[str]:
    """Copies the models with the first seed, and the sinusoids', into a model repository, each as its next version.

    Returns:
        Their names there.
    """
    wanted = {
        f"{entry.name}-{entry.seeds[0]}": f"{study.data}-{entry.method}"
        for entry in study.compared
        if not (entry.held_out or entry.tried)
        and (entry.method != "masksembles" or (entry.variant == "width" and entry in typical(study.compared)))
    }
    if study.data == "fashion-mnist":
        wanted |= {point.name: point.name for point in sinusoids.PATH}
    for name, published in wanted.items():
        model, _, version = artefact.read(store(folder), name)
        plans = artefact.read_plans(store(folder), name, version)
        artefact.write(model, target, published, plans={device: plan for device, (plan, _) in plans.items()})
    return list(wanted.values())


def fill(page: Path, results: Path) -> None:
    """Puts tables where a Markdown file has marks for them, `<!-- NAME -->` … `<!-- /NAME -->`.

    Raises:
        ValueError: there is a first mark without its second one.
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
