"""`calibrate`: recalibrates a model of the repository on other rows, as its next version."""

import argparse
from collections.abc import Callable

import onnx

from app.contract import policy
from app.contract.calibration import Calibration
from app.contract.head import Head
from app.contract.repository import parse_reference
from app.contract.schema import Contract
from app.contract.tasks import Evaluation
from models import artefact
from models.cli import arguments
from models.cli.console import fitted, tell
from models.cli.rows import data_of, is_file

Calibrated = tuple[dict[str, Calibration], Callable[[Contract, Head], Evaluation | None]]
"""New calibrations by the names of their heads, whose temperatures are those of the model now; and what gives figures
of such a head."""


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    calibrate = commands.add_parser("calibrate", help="recalibrate a model of the repository as a new version")
    calibrate.set_defaults(run=run)
    calibrate.add_argument("model", metavar="NAME:VERSION")
    arguments.add_policy(calibrate)
    arguments.add_guarantees(calibrate)
    rows = calibrate.add_mutually_exclusive_group()
    arguments.add_rows(rows)
    rows.add_argument(
        "--feedback",
        metavar="URL",
        help="the service's MASKSEMBLES_FEEDBACK_URL: calibrates on answers whose truth came back, if that is better",
    )
    arguments.add_repository(calibrate)


def run(options: argparse.Namespace) -> None:
    """Calibrates."""
    name, version = parse_reference(options.model)
    model, contract, _ = artefact.read(options.repository, name, version)
    if any(head.policy for head in contract.heads) and options.policy is None:
        raise ValueError("the model's policy belongs to its old calibration: give --policy anew, or --policy none")
    rules = policy.parse(options.policy) if options.policy not in (None, "none") else None
    found, evaluated = (_on_feedback if options.feedback is not None else _on_data)(options, model, contract)
    origin = contract.origin.model_copy(update={"recalibrated_from": version})
    contract = contract.model_copy(update={"origin": origin})
    for head in contract.heads:
        new = {"calibration": found[head.name], "evaluation": None} if head.name in found else {}
        contract = contract.with_head(head, policy=None, **new)
    policies = policy.resolve(rules, contract.heads) if rules is not None else {}
    for head in contract.heads:
        contract = contract.with_head(head, policy=policies.get(head.name))
    for head in contract.heads:
        if head.name in found:
            contract = contract.with_head(head, evaluation=evaluated(contract, head))
    plans = {}
    for device, (plan, planned) in artefact.read_plans(options.repository, name, version).items():
        for head in contract.heads:
            if head.has_temperature:
                artefact.set_temperature(plan, head, head.temperature)
        updated = contract.model_copy(update={"plan": planned.plan, "compilation": planned.compilation})
        artefact.embed(plan, updated)
        plans[device] = plan
    artefact.embed(model, contract)
    path = artefact.write(model, options.repository, name, plans=plans)
    for head in contract.heads:
        if head.name in found:
            calibration = found[head.name]
            tell(head, f"{calibration.rows} rows of {calibration.data}: {fitted(head, calibration)}")
    print(f"wrote: {path}")


def _on_data(options: argparse.Namespace, model: onnx.ModelProto, contract: Contract) -> Calibrated:
    """All heads, on labelled inputs."""
    from models.evaluation.calibration import calibrate
    from models.evaluation.evaluation import evaluate

    dataset = data_of(options.data, options.model, contract)
    found = {
        head.name: calibrate(
            model,
            contract,
            head,
            dataset.name,
            dataset.calibration,
            coverages=options.coverages,
            risks=options.risks if head in _at_risk(contract) else None,
        )
        for head in contract.heads
    }

    def evaluated(contract: Contract, head: Head) -> Evaluation | None:
        if is_file(options.data):  # a file of rows is one split, and that one is spent
            return None
        return evaluate(model, contract, head, dataset.name, dataset.test)

    return found, evaluated


def _on_feedback(options: argparse.Namespace, model: onnx.ModelProto, contract: Contract) -> Calibrated:
    """The heads with enough truths for which a new calibration is better.

    Raises:
        ValueError: there is none.
    """
    try:
        from models.data.field import read_field
    except ModuleNotFoundError as error:
        raise ValueError(f"--feedback: there is no {error.name}: install the extra feedback") from error
    from models.evaluation.adequacy import CalibrationError
    from models.evaluation.evaluation import evaluate_answers
    from models.evaluation.recalibration import DATA, Recalibration, recalibrate

    fields = read_field(options.feedback, *parse_reference(options.model), contract)
    found: dict[str, Recalibration] = {}
    refusals: list[str] = []
    for head in contract.heads:
        risks = options.risks if head in _at_risk(contract) else None
        try:
            if head.name not in fields:
                raise CalibrationError("its answers have no receipts")
            one = recalibrate(model, contract, head, fields[head.name], coverages=options.coverages, risks=risks)
        except CalibrationError as error:
            refusals.append(str(error))
            if len(contract.heads) > 1:
                tell(head, f"keeps its calibration: {error}")
            continue
        tell(head, *one.comparison.describe())
        if one.comparison.is_better:
            found[head.name] = one
        else:
            refusals.append(f"the new calibration is no better: {one.comparison.describe()[0]}")
    if not found:
        raise ValueError("no version is written: " + "; ".join(refusals))
    for head in contract.heads:
        if head.name in found and head.has_temperature:
            artefact.set_temperature(model, head, found[head.name].calibration.temperature)
    calibrations = {name: one.calibration for name, one in found.items()}
    return calibrations, lambda _, head: evaluate_answers(head, DATA, found[head.name].test)


def _at_risk(contract: Contract) -> list[Head]:
    """The heads that --risks is about: those whose answers are right or wrong; if there are none it is refused."""
    return [head for head in contract.heads if head.task_kind.answers == "labels"] or list(contract.heads)
