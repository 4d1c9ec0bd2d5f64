"""What can be asked of a model's answers, and what of its graph each is written from."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.api.predict.params import PredictParams
from app.contract import policy
from app.contract.calibration import Interval, PredictionSet
from app.contract.decisions import DecisionPolicy
from app.contract.schema import Contract
from app.engine.model import Model
from app.errors import InvalidInput

_COVERAGE_TOLERANCE = 1e-6  # 0.9 may come as a float32


class Menu:
    """The outputs of a kind of model by name, each with the graph's outputs that it is written from.

    Args:
        on_request: which of them come only when they are asked for.
    """

    def __init__(self, selectable: dict[str, tuple[str, ...]], on_request: Sequence[str] = ()) -> None:
        self.selectable = selectable
        self.default = tuple(name for name in selectable if name not in on_request)
        self._needed = self._of_graph(self.default)

    def choose(self, outputs: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The outputs that were asked for in the menu's order, and what the graph has to give for them.

        Raises:
            InvalidInput: an output is unknown or named twice, or `outputs` names none.
        """
        if outputs is None:
            return self.default, self._needed
        for index, name in enumerate(outputs):
            if name not in self.selectable:
                expected = f"expected some of {', '.join(self.selectable)}"
                raise InvalidInput(f"unknown output {name[:100]!r}; {expected}", f"outputs[{index}]")
        if not outputs or len(outputs) != len(set(outputs)):
            raise InvalidInput("expected at least one output and each once, or no `outputs` for all of them", "outputs")
        return tuple(name for name in self.selectable if name in outputs), self._of_graph(outputs)

    def _of_graph(self, outputs: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for choice in outputs for name in self.selectable[choice]))


_SCORES = ("entropy", "expected_entropy", "mutual_information")
_FOR_SCORES = ("probabilities", *_SCORES, "energy")
_MEAN = ("prediction",)
_SPREAD = ("prediction", "variance")

CLASSIFIER = Menu(
    {
        "prediction": ("prediction", "probabilities"),
        "probabilities": ("probabilities",),
        "entropy": ("entropy",),
        "expected_entropy": ("expected_entropy",),
        "mutual_information": ("mutual_information",),
        "energy": ("energy",),
        "percentiles": _FOR_SCORES,
        "prediction_set": ("probabilities",),
        "decision": _FOR_SCORES,
        "submodels": ("submodels",),
        "logits": ("logits",),
    },
    on_request=("logits",),
)
REGRESSOR = Menu(
    {
        "prediction": _MEAN,
        "variance": ("variance",),
        "epistemic_variance": ("epistemic_variance",),
        "aleatoric_variance": ("aleatoric_variance",),
        "entropy": ("entropy",),
        "expected_entropy": ("expected_entropy",),
        "mutual_information": ("mutual_information",),
        "intervals": _SPREAD,
        "percentiles": _SCORES,
        "decision": _SCORES,
        "submodels": ("submodels", "submodel_variances"),
    }
)
PLAIN_REGRESSOR = Menu(
    {
        "prediction": _MEAN,
        "variance": ("variance",),
        "epistemic_variance": ("epistemic_variance",),
        "intervals": _SPREAD,
        "percentiles": _MEAN,
        "decision": _MEAN,
        "submodels": ("submodels",),
    }
)
"""Of a regressor whose submodels predict no variance: it has no scores, so percentiles and decision are null."""
MENUS = (CLASSIFIER, REGRESSOR, PLAIN_REGRESSOR)


@dataclass(frozen=True, slots=True)
class OutputSelection:
    """What a request wants of a model."""

    chosen: tuple[str, ...]
    """The outputs, in the menu's order."""
    needed: tuple[str, ...]
    """The graph's outputs that they are written from."""
    judge: DecisionPolicy | None
    """The request's own policy."""
    sets: tuple[PredictionSet, ...]
    """The one that is wanted, or none where the model has none; of a regressor none."""
    intervals: tuple[Interval, ...]
    """Those that are wanted; of a classifier none."""


def choose(asked: PredictParams, model: Model) -> OutputSelection:
    """What a request wants, where that is something that the model has.

    Raises:
        InvalidInput: an output, a score of the policy or the coverage is none of the model's, or the policy none.
    """
    contract = model.contract
    chosen, needed = menu(contract).choose(asked.outputs)
    judge = None if asked.policy is None else _judge(asked.policy, contract)
    calibration = contract.calibration
    sets = calibration.prediction_sets if calibration else ()
    intervals = calibration.intervals if calibration else ()
    if asked.coverage is not None:
        there = sets if contract.task == "classification" else intervals
        if not any(_covers(one, asked.coverage) for one in there):
            known = ", ".join(str(one.coverage) for one in there) or "none"
            raise InvalidInput(f"the model was not calibrated for that coverage; there are: {known}", "coverage")
        sets = tuple(one for one in sets if _covers(one, asked.coverage))
        intervals = tuple(one for one in intervals if _covers(one, asked.coverage))
    return OutputSelection(chosen, needed, judge, sets[:1], intervals)


def menu(contract: Contract) -> Menu:
    """What can be asked of a model."""
    if contract.task == "classification":
        return CLASSIFIER
    return REGRESSOR if contract.scores else PLAIN_REGRESSOR


def _judge(text: str, contract: Contract) -> DecisionPolicy:
    try:
        return DecisionPolicy(policy.resolve(policy.parse(text), contract), "request")
    except ValueError as error:
        raise InvalidInput(str(error), "policy") from None


def _covers(one: PredictionSet | Interval, coverage: float) -> bool:
    return abs(one.coverage - coverage) <= _COVERAGE_TOLERANCE
