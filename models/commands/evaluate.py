"""`evaluate`: models of the store on test rows, through onnxruntime, printed and as JSON and pictures."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.contract import naming
from app.contract.schema import Contract
from models import artefact
from models.commands import arguments
from models.commands.rows import data_of
from models.commands.shown import show, show_measured, show_outcome
from models.data import Dataset


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    evaluate = commands.add_parser("evaluate", help="measure models of the store on test data")
    evaluate.set_defaults(run=run)
    evaluate.add_argument("models", nargs="+", metavar="NAME[:VERSION]")
    evaluate.add_argument(
        "--corruptions", action="store_true", help="also on the test pictures made worse in nine ways"
    )
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    evaluate.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="draw reliability, and risk by coverage, there"
    )
    arguments.add_rows(evaluate)
    arguments.add_store(evaluate)


def run(options: argparse.Namespace) -> None:
    """Evaluates one model after the other; costs are relative to the first single network among them, or the first."""
    from models.evaluate import evaluate
    from models.outcome import corrupted, outcome

    reports: dict[str, dict[str, Any]] = {}
    for reference in options.models:
        name, colon, text = reference.partition(":")
        model, contract, version = artefact.read(options.store, name, naming.parse_version(text) if colon else None)
        dataset = data_of(options.data, reference, contract)
        print(f"{name}:{version}, {contract.method}, N = {contract.num_submodels}")
        found = evaluate(model, contract, dataset.name, dataset.test)
        show(found)
        report: dict[str, Any] = {"method": contract.method, "evaluation": found.model_dump(exclude_none=True)}
        if contract.task == "classification":
            report |= _measured(options.store, name, version, dataset, options.corruptions)
            show_measured(report)
        now = outcome(model, contract, dataset.test)
        show_outcome(now, contract)
        report["outcome"] = {"clean": now.plain()}
        for severity, worse in corrupted(model, contract, dataset.test).items() if options.corruptions else ():
            print(f"made worse, severity {severity}: error {worse.errors.mean():.4f}")
            show_outcome(worse, contract)
            report["outcome"][f"severity {severity}"] = worse.plain()
        reports[f"{name}:{version}"] = report
    _show_costs(reports)
    if options.json is not None:
        options.json.write_text(json.dumps(reports, indent=1) + "\n")
    if options.figures is not None:
        from models.evidence import figures

        options.figures.mkdir(parents=True, exist_ok=True)
        for name, report in reports.items():
            if "test" in report:
                figures.reliability(report["test"], options.figures / f"{name.replace(':', '-')}.png")


def _measured(store: Path, name: str, version: int, dataset: Dataset, corruptions: bool) -> dict[str, Any]:
    from models.data.corrupted import Corrupted, generated
    from models.data.foreign import foreign
    from models.evidence.measure import macs, measure

    model, contract, _ = artefact.read(store, name, version)
    plans: Iterator[Contract] = (planned for _, planned in artefact.read_plans(store, name, version).values())
    worse: Corrupted = generated(dataset.test) if corruptions else iter(())
    found = measure(model, contract, dataset.test, foreign(dataset), worse)
    return found | {"macs": macs([contract, *plans])}


def _show_costs(reports: dict[str, dict[str, Any]]) -> None:
    counted = {name: report for name, report in reports.items() if report.get("macs")}
    if len(counted) < 2:
        return
    single = next((report for report in counted.values() if report["method"] == "single"), None)
    base = (single or next(iter(counted.values())))["macs"]
    for name, report in counted.items():
        report["cost"] = report["macs"] / base
        print(f"{name}: {report['cost']:.2f} of the multiply-accumulates of {'single' if single else 'the first'}")
