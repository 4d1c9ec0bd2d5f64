"""The end of an export: what came out, in the order in which one asks. How good it is, what its thresholds promise,
what its plans cost, and a command that asks it."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from app.contract.calibration import Threshold
from app.contract.head import Head
from app.contract.repository import MODEL_FILE
from app.contract.schema import Contract
from models import artefact
from models.cli.asking import commands
from models.cli.console import show, tell


def summarise(repository: Path, name: str, version: int, rows: Mapping[str, NDArray[Any]]) -> None:
    """Prints the summary of a version that was just written.

    Args:
        rows: see `commands`.
    """
    contract = artefact.read(repository, name, version)[1]
    print(f"\n{name}:{version}, {contract.method}, N = {contract.num_submodels}")
    for head in contract.heads:
        if head.evaluation:
            show(head, head.evaluation)
        tell(head, *_thresholds(head), *_policy(head))
    folder = repository / name / str(version)
    costs = {MODEL_FILE: contract} | {
        f"model.{device}.onnx": planned
        for device, (_, planned) in artefact.read_plans(repository, name, version).items()
    }
    for file, planned in costs.items():
        print(f"exported: {folder / file} ({(folder / file).stat().st_size / 1e6:.2f} MB), {_cost(planned, contract)}")
    print(f"\nserve it: {_serve(repository)}")
    for told, command in zip(("ask it:  ", "or:      "), commands(name, contract, rows)):
        print(f"{told} {command}")


def _thresholds(head: Head) -> list[str]:
    """A line for the entropy and each score of the policy, with the levels as a policy names them."""
    if head.calibration is None:
        return ["no calibration: there are no thresholds, sets or intervals"]
    named = {"entropy", *(rule.score for rule in (head.policy.rules if head.policy else ()))}
    return [
        f"thresholds of {score}: " + (", ".join(_level(one) for one in found) or "none that these rows can guarantee")
        for score in head.scores
        if score in named
        for found in [[one for one in head.calibration.thresholds if one.score == score]]
    ]


def _level(one: Threshold) -> str:
    accepts = f" (accepts {100 * one.coverage:.0f} %)" if one.guarantee == "risk" else ""
    return f"{one.guarantee[0]}{100 * one.target:g} {one.value:.4g}{accepts}"


def _policy(head: Head) -> list[str]:
    if head.policy is None:
        return ["no policy: every answer is accepted"]
    rules = (
        f"{rule.action} {rule.score}{'>' if rule.sign > 0 else '<'}{rule.threshold:.4g}" for rule in head.policy.rules
    )
    return [f"policy: {', '.join(rules)}"]


def _cost(planned: Contract, portable: Contract) -> str:
    """What a plan costs in dense passes, and how much less that is than the portable one's."""
    compiled, folded = planned.compilation, portable.compilation
    if compiled is None or not compiled.macs_single:
        return planned.plan
    told = f"{planned.plan}, {compiled.macs / compiled.macs_single:.2f} dense passes"
    if folded is None or planned.plan == portable.plan or not compiled.macs:
        return told
    return f"{told}, {folded.macs / compiled.macs:.2f} times fewer multiply-accumulates than {portable.plan}"


def _serve(repository: Path) -> str:
    if repository.resolve() == artefact.REPOSITORY.resolve():
        return "make serve"
    return f"MASKSEMBLES_MODEL_REPOSITORY={shlex.quote(str(repository.resolve()))} make serve"
