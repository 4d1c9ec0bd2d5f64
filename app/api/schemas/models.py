"""Models, their versions, and the state of each."""

from typing import Literal

from pydantic import BaseModel, Field

from app.contract.axis import FreeAxis
from app.contract.head import Target
from app.contract.policy import Rule
from app.contract.schema import Contract, Method
from app.contract.tasks import TaskName
from app.contract.tensor import Dtype
from app.engine.model_versions import VersionState

_STATE = (
    "`available` answers, by default or when a request names it; `standby` is fit to and does not; `unloaded` was "
    "taken out of service; `rejected` is not fit to be served"
)
_REASON = (
    "Why it is rejected, what became of its files since it was loaded, why its plan is not used, or that it has no "
    "contract"
)
_LOADED = "Whether it is in memory; with MASKSEMBLES_LOAD=lazy it is not before its first request"


class VersionSummary(BaseModel):
    """A version in the repository and what became of it."""

    version: int
    state: VersionState = Field(description=_STATE)
    loaded: bool = Field(description=_LOADED)
    reason: str | None = Field(None, description=_REASON)


class PolicyInForce(BaseModel):
    """What decides on a model's answers: the first rule that applies; where none does, they are accepted."""

    source: Literal["model", "operator"] = Field(
        description="Whose it is: the file's own, or the operator's in its place"
    )
    rules: list[Rule] = Field(description="With percentiles and thresholds looked up in the model's calibration")


class InputSummary(BaseModel):
    """An input of a model."""

    name: str
    dtype: Dtype
    shape: list[int | str] = Field(description="B is the number of rows, other letters are `axes`")
    unit: str
    range: tuple[float, float] | None = Field(None, description="Smallest and largest value accepted")
    channel_ranges: list[tuple[float, float]] | None = Field(
        None, description="The same for each channel or feature (axis 1), where they differ"
    )
    image: bool | None = Field(None, description="True if it may be sent as PNG, JPEG or WebP; absent if not")


class HeadSummary(BaseModel):
    """An answer of a model."""

    name: str | None = Field(None, description="Absent if it is the only one")
    task: TaskName
    grid: list[int | str] | None = Field(
        None, description="The axes of a dense head, which answers for each cell; absent if there are none"
    )
    labels: list[str] | None = Field(None, description="The K classes of a classifier, or labels of a multilabel head")
    targets: list[Target] | None = Field(None, description="Of a regressor: the D numbers that it predicts")
    policy: PolicyInForce | None = Field(None, description="What decides on its answers; absent where nobody has one")
    warnings: list[str] | None = Field(None, description="What its calibration could hardly bear; absent if nothing")


class ModelSummary(BaseModel):
    """A model in the repository. Everything but name and versions is absent where no version is available, and what a
    contract would say where there is none."""

    name: str
    version: int | None = Field(None, description="The version that answers by default")
    method: Method | None = None
    num_submodels: int | None = Field(None, description="N")
    inputs: list[InputSummary] | None = None
    axes: dict[str, FreeAxis] | None = Field(
        None,
        description="The sizes that a request may choose, by the letter in shapes and grids; absent if there are none",
    )
    heads: list[HeadSummary] | None = None
    reason: str | None = Field(None, description="Why its folder in the repository cannot be read")
    versions: list[VersionSummary]


class Catalog(BaseModel):
    """All models in the repository."""

    replica: str = Field(description="Which of several services answers: its host or container, and its port there")
    default: str | None = Field(None, description="The model that answers when a request names none")
    models: list[ModelSummary]


class VersionDetail(BaseModel):
    """A version with everything its file declares about itself."""

    name: str
    version: int
    state: VersionState = Field(description=_STATE)
    loaded: bool = Field(description=_LOADED)
    reason: str | None = Field(None, description=_REASON)
    contract: Contract | None = Field(None, description="Absent where the version is rejected, or has none")
