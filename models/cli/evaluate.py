"""`evaluate`: models of the store on test rows, through onnxruntime, printed and as JSON and pictures."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from app.contract.repository import parse_version
from app.contract.schema import Contract
from models import artefact
from models.cli import arguments
from models.cli.console import show, show_measured, show_outcome
from models.cli.rows import data_of
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
    """Evaluates one model after the other; costs are relative to the first single network among them, or the first, and
    of a model alone to one pass through its network without masks.

    All are measured in the file that the service would run here.
    """
    from models.benchmark.measurement import macs
    from models.evaluation.evaluation import evaluate
    from models.evaluation.policy_outcome import corrupted, outcome

    found = [_find(options.store, reference) for reference in options.models]
    _check(options, [contract for *_, contract in found])
    reports: dict[str, dict[str, Any]] = {}
    for name, version, model, contract in found:
        dataset = data_of(options.data, f"{name}:{version}", contract)
        print(f"{name}:{version}, {contract.method}, N = {contract.num_submodels}")
        plans = artefact.read_plans(options.store, name, version)
        served = artefact.served(model, plans)
        reached = evaluate(served, contract, dataset.name, dataset.test)
        show(reached)
        report: dict[str, Any] = {"method": contract.method, "evaluation": reached.model_dump(exclude_none=True)}
        if contract.task == "classification":
            report |= _measured(served, contract, dataset, options.corruptions)
            report["macs"] = macs([contract, *(planned for _, planned in plans.values())])
            report["macs_single"] = contract.compilation.macs_single if contract.compilation else None
            show_measured(report)
        now = outcome(served, contract, dataset.test)
        show_outcome(now, contract)
        report["outcome"] = {"clean": now.plain()}
        for severity, worse in corrupted(served, contract, dataset.test).items() if options.corruptions else ():
            print(f"made worse, severity {severity}: error {worse.errors.mean():.4f}")
            show_outcome(worse, contract)
            report["outcome"][f"severity {severity}"] = worse.plain()
        reports[f"{name}:{version}"] = report
    _show_costs(reports)
    if options.json is not None:
        options.json.write_text(json.dumps(reports, indent=1) + "\n")
    if options.figures is not None:
        from models.benchmark import figures

        for name, report in reports.items():
            if "test" in report:
                figures.reliability(report["test"], options.figures / f"{name.replace(':', '-')}.png")


def _find(store: Path, reference: str) -> tuple[str, int, onnx.ModelProto, Contract]:
    """Name, version, model and contract of NAME[:VERSION]."""
    name, colon, text = reference.partition(":")
    model, contract, version = artefact.read(store, name, parse_version(text) if colon else None)
    return name, version, model, contract


def _check(options: argparse.Namespace, contracts: Sequence[Contract]) -> None:
    """Whether all that is asked for can be done, and written, before any of it is."""
    from models.evaluation.policy_outcome import check_pictures

    for contract in contracts if options.corruptions else ():
        check_pictures(contract)
    if options.figures is not None:
        options.figures.mkdir(parents=True, exist_ok=True)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.open("a").close()


def _measured(model: onnx.ModelProto, contract: Contract, dataset: Dataset, corruptions: bool) -> dict[str, Any]:
    from models.benchmark.measurement import measure
    from models.data.corrupted import Corrupted, generated
    from models.data.ood import foreign

    worse: Corrupted = generated(dataset.test) if corruptions else iter(())
    return measure(model, contract, dataset.test, foreign(dataset), worse)


def _show_costs(reports: dict[str, dict[str, Any]]) -> None:
    counted = {name: report for name, report in reports.items() if report.get("macs")}
    single = next((report for report in counted.values() if report["method"] == "single"), None)
    if not counted:
        return
    first = single or next(iter(counted.values()))
    base, of = first["macs"], "single" if single else "the first"
    if len(counted) == 1:
        base, of = first["macs_single"], "one pass through its network without masks"
    for name, report in counted.items():
        report["cost"] = report["macs"] / base
        print(f"{name}: {report['cost']:.2f} of the multiply-accumulates of {of}")
