"""What a model's policy and its prediction sets come to on labelled rows, as they are or made worse. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from app.contract.decisions import DecisionPolicy
from app.contract.schema import Contract
from app.contract.tasks.classification import prediction_set_members
from models import artefact
from models.data import Split
from models.data.corrupted import generated
from models.evaluation.evaluation import check_rows

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class PolicyOutcome:
    """What happened to B rows.

    Args:
        errors: [B, 1] whether a classifier's answer is wrong; [B, D] a regressor's squared errors.
        actions: [B] accept, defer or reject; None without a policy.
        sets: by promised coverage, [B] whether the true class is in the prediction set, and [B] how large that is.
    """

    errors: NDArray[Any]
    actions: NDArray[np.str_] | None
    sets: dict[float, tuple[Bools, NDArray[np.int64]]]

    def share(self, action: str) -> float:
        """The share of rows that are accepted, deferred or rejected."""
        return float(np.mean(self.actions == action))

    def plain(self) -> dict[str, Any]:
        """As JSON has it: shares of the actions, errors of all and of the accepted, how the sets hold."""
        told: dict[str, Any] = {"rows": len(self.errors), "error": self.errors.mean(axis=0).tolist()}
        if self.actions is not None:
            accepted = self.accepted()
            told |= {action: self.share(action) for action in ("accept", "defer", "reject")}
            told["error_accepted"] = self.errors[accepted].mean(axis=0).tolist() if accepted.any() else None
        told["sets"] = {
            f"{100 * coverage:g}": {"coverage": float(held.mean()), "size": float(size.mean())}
            for coverage, (held, size) in self.sets.items()
        }
        return told

    def accepted(self) -> Bools:
        """[B]; all rows where there is no policy."""
        return np.ones(len(self.errors), np.bool_) if self.actions is None else self.actions == "accept"


def outcome(model: onnx.ModelProto, contract: Contract, split: Split) -> PolicyOutcome:
    """What happens to the rows of a split.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
    """
    check_rows(contract, split)
    return _outcome(artefact.session(model, artefact.where(model)), contract, split)


def corrupted(model: onnx.ModelProto, contract: Contract, split: Split) -> dict[int, PolicyOutcome]:
    """The same for pictures made worse in every known way, all ways together, for each severity.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
        ValueError: its inputs are no pictures of the layout BCHW, or of float32 in another range than 0 to 1.
    """
    check_pictures(contract)
    check_rows(contract, split)
    session = artefact.session(model, artefact.where(model))
    parts: dict[int, list[PolicyOutcome]] = {}
    for _, severity, worse in generated(split):
        parts.setdefault(severity, []).append(_outcome(session, contract, worse))
    return {severity: _together(outcomes) for severity, outcomes in parts.items()}


def check_pictures(contract: Contract) -> None:
    """Whether a model takes what can be made worse.

    Raises:
        ValueError: its inputs are no pictures of the layout BCHW, or of float32 in another range than 0 to 1.
    """
    given = contract.inputs[0]
    if given.layout != "BCHW" or (given.dtype == "float32" and given.range != (0.0, 1.0)):
        raise ValueError("only pictures can be made worse: layout BCHW, and uint8, or float32 in the range 0 to 1")


def _outcome(session: onnxruntime.InferenceSession, contract: Contract, split: Split) -> PolicyOutcome:
    classifies, labels = contract.task == "classification", split.labels
    names = ["prediction", *(["probabilities"] if classifies else [])]
    names += [name for name in contract.scores if name != "confidence"]
    found = artefact.run_session(session, split.inputs, names)
    wrong = found["prediction"] != labels if classifies else np.square(found["prediction"].astype(np.float64) - labels)
    actions = None
    if contract.policy is not None:
        decisions = DecisionPolicy(contract.policy, "model").decide(contract.score_values(found))
        actions = np.array([decision.action for decision in decisions])
    sets = {}
    for one in contract.calibration.prediction_sets if contract.calibration else ():
        order, sizes = prediction_set_members(one, found["probabilities"])
        sets[one.coverage] = (order == labels[:, None]).argmax(axis=-1) < sizes, sizes
    return PolicyOutcome(wrong.reshape(len(labels), -1), actions, sets)


def _together(parts: Sequence[PolicyOutcome]) -> PolicyOutcome:
    actions = [part.actions for part in parts if part.actions is not None]
    return PolicyOutcome(
        np.concatenate([part.errors for part in parts]),
        np.concatenate(actions) if actions else None,
        {
            coverage: (
                np.concatenate([part.sets[coverage][0] for part in parts]),
                np.concatenate([part.sets[coverage][1] for part in parts]),
            )
            for coverage in parts[0].sets
        },
    )
