"""A head: one answer of a network, with its task, what it predicts, and what is known about it."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from numpy.typing import NDArray
from pydantic import Field, model_validator

from app.contract.calibration import Calibration
from app.contract.contract_model import ContractModel, Parts, Score
from app.contract.policy import Policy
from app.contract.repository import TEMPERATURE
from app.contract.tasks import TASKS, Evaluation, Task, TaskName
from app.contract.tasks.task import Arrays, row_output
from app.contract.tensor import Axis, Tensor


class Target(ContractModel):
    """One of the D numbers that a regressor predicts."""

    name: str
    unit: str


class Head(ContractModel):
    """One answer of a network."""

    name: Annotated[str, Field(pattern="^([a-z][a-z0-9_-]{0,63})?$")] = ""
    """Empty if the model has one head: its outputs have plain names then."""
    task: TaskName = "classification"
    grid: Parts[Axis] = ()
    """The axes G of a dense head, which answers for each cell of a map or each step of a sequence; none of others."""
    labels: Parts[str] = ()
    """The K classes of a classifier, or labels of a multilabel head, in order."""
    targets: Parts[Target] = ()
    """For a regressor: the D numbers that it predicts."""
    outputs: Parts[Tensor]
    """By their plain names."""
    calibration: Calibration | None = None
    policy: Policy | None = None
    evaluation: Evaluation | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.task_kind.validate(self)
        expected = {tensor.name: tensor for tensor in self.task_kind.outputs(self)}
        found = {tensor.name: tensor for tensor in self.outputs}
        if len(found) != len(self.outputs) or found.keys() != expected.keys():
            raise ValueError(f"outputs must be {', '.join(expected)}, got {', '.join(t.name for t in self.outputs)}")
        for name, tensor in found.items():
            if (tensor.dtype, tensor.shape) != (expected[name].dtype, expected[name].shape):
                raise ValueError(
                    f"outputs.{name} must be {expected[name].dtype} {list(expected[name].shape)}, "
                    f"got {tensor.dtype} {list(tensor.shape)}"
                )
        for index, rule in enumerate(self.policy.rules if self.policy else ()):
            if rule.score not in self.scores:
                raise ValueError(f"policy.rules.{index}.score must be one of {', '.join(self.scores) or 'none'}")
        return self

    @property
    def task_kind(self) -> Task:
        """The behaviour that differs by task."""
        return TASKS[self.task]

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores of a row that a policy may name; see the task."""
        return self.task_kind.scores(self)

    def score_values(self, found: Arrays) -> dict[Score, NDArray[Any]]:
        """Each of its scores [B], from its outputs [B, …] by plain name."""
        if self.grid:
            return {name: self.score_value(name, found) for name in self.scores}
        kind = self.task_kind  # looked up once: most requests come here several times
        return {name: kind.score_value(name, found) for name in kind.scores(self)}

    def score_value(self, name: Score, found: Arrays) -> NDArray[Any]:
        """One of its scores [B]; of a dense head the mean over the grid, which its graph computes."""
        return found[row_output(name)] if self.grid else self.task_kind.score_value(name, found)

    def graph_name(self, output: str) -> str:
        """The name of an output in the graph."""
        return f"{self.name}.{output}" if self.name else output

    def own(self, found: Arrays) -> Arrays:
        """Its outputs by plain name, of those that a run of the graph gave."""
        if not self.name:
            return found
        prefix = f"{self.name}."
        return {name.removeprefix(prefix): values for name, values in found.items() if name.startswith(prefix)}

    @property
    def has_temperature(self) -> bool:
        """Whether the graph has a temperature for it: for all but regressors that predict no variance."""
        return bool(self.scores)

    @property
    def temperature_name(self) -> str:
        """The name of its temperature among the graph's initializers."""
        return self.graph_name(TEMPERATURE)

    @property
    def temperature(self) -> float:
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever relies on it should know, in words."""
        return self.calibration.warnings if self.calibration else ()

    def resolved(self, tensor: Tensor, submodels: int) -> Tensor:
        """One of its outputs as the graph has it: N, K and D as numbers, and the graph's name."""
        letters: Mapping[Axis, int] = {"N": submodels, "K": len(self.labels), "D": len(self.targets)}
        shape = tuple(letters.get(size, size) for size in tensor.shape)
        return tensor.model_copy(update={"name": self.graph_name(tensor.name), "shape": shape})
