"""`evaluate`: models of the repository on test rows, through onnxruntime, printed and as JSON and images."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from app.contract.head import Head
from app.contract.repository import parse_version
from app.contract.schema import Contract
from models import artefact, progress, runtime
from models.cli import arguments
from models.cli.console import show, show_corrupted, show_outcome, tell
from models.cli.rows import data_of
from models.data import Dataset

Plans = dict[str, tuple[onnx.ModelProto, Contract]]
"""As `artefact.read_plans` gives them."""


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    evaluate = commands.add_parser("evaluate", help="measure models of the repository on test data")
    evaluate.set_defaults(run=run)
    evaluate.add_argument("models", nargs="+", metavar="NAME[:VERSION]")
    evaluate.add_argument("--corruptions", action="store_true", help="also on the test images corrupted in nine ways")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    evaluate.add_argument(
        "--figures", type=Path, metavar="FOLDER", help="draw reliability, and risk by coverage, there"
    )
    arguments.add_rows(evaluate)
    arguments.add_repository(evaluate)


def run(options: argparse.Namespace) -> None:
    """Evaluates models in turn. Costs are relative to the first single network among them, or to the first model; for
    one model, to a pass through its network without masks.

    Each is measured with the file that the service would run on this machine.
    """
    found = [_find(options.repository, reference) for reference in options.models]
    _check(options, [contract for *_, contract in found])
    reports: dict[str, dict[str, Any]] = {}
    for name, version, model, contract in found:
        dataset = data_of(options.data, f"{name}:{version}", contract)
        print(f"{name}:{version}, {contract.method}, N = {contract.num_submodels}")
        plans = artefact.read_plans(options.repository, name, version)
        reports[f"{name}:{version}"] = _report(model, contract, plans, dataset, options.corruptions)
    _show_costs(reports)
    if options.json is not None:
        options.json.write_text(json.dumps(reports, indent=1) + "\n")
    if options.figures is not None:
        from models.benchmark import figures

        for name, report in reports.items():
            for head, found in report.get("heads", {"": report}).items():
                if "reliability" in found.get("test", {}):
                    path = options.figures / f"{'-'.join(filter(None, (*name.split(':'), head)))}.png"
                    figures.reliability(found["test"], path)


def _find(repository: Path, reference: str) -> tuple[str, int, onnx.ModelProto, Contract]:
    """Name, version, model and contract of NAME[:VERSION]."""
    name, colon, text = reference.partition(":")
    model, contract, version = artefact.read(repository, name, parse_version(text) if colon else None)
    return name, version, model, contract


def _check(options: argparse.Namespace, contracts: Sequence[Contract]) -> None:
    """Checks that everything requested can be done and written, before any of it starts."""
    from models.evaluation.policy_outcome import check_images

    for contract in contracts if options.corruptions else ():
        check_images(contract)
    if options.figures is not None:
        options.figures.mkdir(parents=True, exist_ok=True)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.open("a").close()


def _report(
    model: onnx.ModelProto, contract: Contract, plans: Plans, dataset: Dataset, corruptions: bool
) -> dict[str, Any]:
    """Prints all figures of one model and returns them as JSON-compatible values; those of several heads are in
    `heads`, by name."""
    from models.benchmark.cost import macs
    from models.evaluation.rows import check_rows

    check_rows(contract, dataset.test)
    served = runtime.served(model, plans)
    found = {head.name: _figures(served, contract, head, dataset, corruptions) for head in contract.heads}
    report: dict[str, Any] = {"method": contract.method, "num_submodels": contract.num_submodels}
    if any(one.get("test") for one in found.values()):
        report["macs"] = macs([contract, *(planned for _, planned in plans.values())])
        report["macs_single"] = contract.compilation.macs_single if contract.compilation else None
    return report | found.get("", {"heads": found})


def _figures(
    served: onnx.ModelProto, contract: Contract, head: Head, dataset: Dataset, corruptions: bool
) -> dict[str, Any]:
    """The figures of one head; every row runs once."""
    from models.data.corrupted import generated
    from models.data.ood import ood_inputs
    from models.evaluation.answers import Answers
    from models.evaluation.evaluation import evaluate_answers
    from models.evaluation.measurement import measure
    from models.evaluation.policy_outcome import PolicyOutcome, apply_policy, join
    from models.evaluation.respondent import Respondent
    from models.evaluation.tasks import evaluator_of

    respondent = Respondent(served, contract, head)
    with progress.step("evaluate"):
        answers, outcomes = respondent.answer(dataset.test), dict[int, list[PolicyOutcome]]()

    def answer_corrupted() -> Iterator[tuple[str, int, Answers]]:
        """Collects the policy's outcomes while the answers are measured."""
        for kind, severity, found in respondent.answer_corrupted(generated(dataset.test)) if corruptions else ():
            outcomes.setdefault(severity, []).append(apply_policy(head, found))
            yield kind, severity, found

    reached = evaluate_answers(head, dataset.name, answers)
    show(head, reached)
    report: dict[str, Any] = {"evaluation": reached.model_dump(exclude_none=True)}
    with progress.step("measure"):
        ood = {name: respondent.outputs(rows) for name, rows in ood_inputs(dataset).items()}
        measured = measure(contract, head, answers, ood, answer_corrupted())
    if measured["test"]:
        report |= measured
        tell(head, *evaluator_of(head).describe_measured(report))
    outcome = apply_policy(head, answers)
    show_outcome(head, outcome)
    report["outcome"] = {"clean": outcome.plain()}
    for severity, parts in outcomes.items():
        joined = join(parts)
        show_corrupted(head, severity, joined)
        report["outcome"][f"severity {severity}"] = joined.plain()
    return report


def _show_costs(reports: dict[str, dict[str, Any]]) -> None:
    counted = {name: report for name, report in reports.items() if report.get("macs")}
    single = next((report for report in counted.values() if report["num_submodels"] == 1), None)
    if not counted:
        return
    first = single or next(iter(counted.values()))
    base, of = first["macs"], "single" if single else "the first"
    if len(counted) == 1:
        base, of = first["macs_single"], "one pass through its network without masks"
    for name, report in counted.items():
        report["cost"] = report["macs"] / base
        print(f"{name}: {report['cost']:.2f} of the multiply-accumulates of {of}")
