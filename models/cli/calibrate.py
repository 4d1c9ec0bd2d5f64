"""`calibrate`: recalibrates a model of the repository on other rows, as its next version."""

import argparse

from app.contract import policy
from app.contract.repository import parse_reference
from app.contract.schema import SCHEMA_VERSION
from models import artefact
from models.cli import arguments
from models.cli.console import fitted
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
    if contract.policy and options.policy is None:
        raise ValueError("the model's policy belongs to its old calibration: give --policy anew, or --policy none")
    rules = policy.parse(options.policy) if options.policy not in (None, "none") else None
    dataset = data_of(options.data, options.model, contract)
    calibration = calibrate(
        model, contract, dataset.name, dataset.calibration, coverages=options.coverages, risks=options.risks
    )
    contract = contract.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "calibration": calibration,
            "policy": None,
            "evaluation": None,
            "origin": contract.origin.model_copy(update={"recalibrated_from": version}),
        }
    )
    if rules is not None:
        contract = contract.model_copy(update={"policy": policy.resolve(rules, contract)})
    if not is_file(options.data):  # a file of rows is one split, and that one is spent
        contract = contract.model_copy(update={"evaluation": evaluate(model, contract, dataset.name, dataset.test)})
    plans = {}
    for device, (plan, planned) in artefact.read_plans(options.repository, name, version).items():
        if contract.has_temperature:
            artefact.set_temperature(plan, calibration.temperature)
        updated = contract.model_copy(update={"plan": planned.plan, "compilation": planned.compilation})
        artefact.embed(plan, updated)
        plans[device] = plan
    artefact.embed(model, contract)
    path = artefact.write(model, options.repository, name, plans=plans)
    print(f"{calibration.rows} rows of {calibration.data}: {fitted(contract, calibration)}\nwrote: {path}")
