"""`calibrate`: recalibrates a model of the repository on other rows, as its next version."""

import argparse

from app.contract import policy
from app.contract.head import Head
from app.contract.repository import parse_reference
from app.contract.schema import Contract
from models import artefact
from models.cli import arguments
from models.cli.console import fitted, tell
from models.cli.rows import data_of, is_file


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    calibrate = commands.add_parser("calibrate", help="recalibrate a model of the repository as a new version")
    calibrate.set_defaults(run=run)
    calibrate.add_argument("model", metavar="NAME:VERSION")
    arguments.add_policy(calibrate)
    arguments.add_guarantees(calibrate)
    arguments.add_rows(calibrate)
    arguments.add_repository(calibrate)


def run(options: argparse.Namespace) -> None:
    """Calibrates."""
    from models.evaluation.calibration import calibrate
    from models.evaluation.evaluation import evaluate

    name, version = parse_reference(options.model)
    model, contract, _ = artefact.read(options.repository, name, version)
    if any(head.policy for head in contract.heads) and options.policy is None:
        raise ValueError("the model's policy belongs to its old calibration: give --policy anew, or --policy none")
    rules = policy.parse(options.policy) if options.policy not in (None, "none") else None
    dataset = data_of(options.data, options.model, contract)
    origin = contract.origin.model_copy(update={"recalibrated_from": version})
    contract = contract.model_copy(update={"origin": origin})
    for head in contract.heads:
        calibration = calibrate(
            model,
            contract,
            head,
            dataset.name,
            dataset.calibration,
            coverages=options.coverages,
            risks=options.risks if head in _at_risk(contract) else None,
        )
        contract = contract.with_head(head, calibration=calibration, policy=None, evaluation=None)
    policies = policy.resolve(rules, contract.heads) if rules is not None else {}
    for head in contract.heads:
        contract = contract.with_head(head, policy=policies.get(head.name))
    if not is_file(options.data):  # a file of rows is one split, and that one is spent
        for head in contract.heads:
            found = evaluate(model, contract, head, dataset.name, dataset.test)
            contract = contract.with_head(head, evaluation=found)
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
        if head.calibration:
            tell(head, f"{head.calibration.rows} rows of {head.calibration.data}: {fitted(head, head.calibration)}")
    print(f"wrote: {path}")


def _at_risk(contract: Contract) -> list[Head]:
    """The heads that --risks is about: those whose answers are right or wrong; if there are none it is refused."""
    return [head for head in contract.heads if head.task_kind.answers == "labels"] or list(contract.heads)
