"""Options of an export: the network's answers, its data, how clients may send inputs, and how to compile."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.contract.axis import Axes
from app.contract.tasks import TaskName
from models.data import Split
from models.export.axes import Dims, dims
from models.export.cost import DeviceName, PlanName
from models.export.preprocess import Normalise

Range = tuple[float, float]
Precision = Literal["float32", "float16"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `models.export.export`. Either `labels` or `targets` is required; all others are optional.

    Raises:
        ValueError: two of them contradict each other; the message names them.
    """

    labels: Sequence[str] | None = None
    """The K class names of a classifier, in order; or the names of K labels, of which each is on or off."""
    targets: Sequence[tuple[str, str]] | None = None
    """Instead of `labels`: the names and units of the D numbers that a regressor predicts."""
    task: TaskName | None = None
    """`multilabel` for labels that are each on or off; by default `labels` are classes, of which a row has one."""

    input_shape: Sequence[int | str] | None = None
    """Of one row, with a letter for each axis of free size, such as (1, "H", "W"); by default that of the example."""
    axes: Axes = field(default_factory=dict)
    """The bounds of those axes: `{"H": FreeAxis(least=32, most=1024, multiple_of=8)}`."""
    normalise: Normalise | None = None
    """(mean, std), a number or one for each channel on axis 1, put into the graph before the network."""
    value_range: Range | Sequence[Range] | None = None
    """Smallest and largest value an input may have, one pair, or one for each channel or feature on axis 1; the service
    refuses others."""
    unit: str = ""
    """What an input value is."""
    layout: str | None = None
    """A letter for each axis of images, such as BCHW. With layout, colour and, for float32, value_range, the service
    also takes image files."""
    colour: Literal["grey", "rgb"] | None = None
    """Colours of images."""
    resize: Literal["stretch", "crop"] | None = None
    """How the service makes images of another size fit; by default it refuses them."""

    calibration: Split | None = None
    """Held-out rows for the temperature, the scores' quantiles and the guarantees (see
    `models.evaluation.calibration`); without them the temperature is 1."""
    evaluation: Split | None = None
    """Rows used for nothing else, for the figures in the contract."""
    data: str = ""
    """The name of the data set that both come from."""
    coverages: Sequence[float] | None = None
    """Coverages to guarantee, instead of those of `models.evaluation.conformal`."""
    risks: Sequence[float] | None = None
    """Risks to guarantee, likewise; not of a regressor."""
    policy: str | None = None
    """What to do with an answer, such as `reject energy>c99, defer entropy>r5` (see `app.contract.policy`)."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Settings of the training, kept in the contract."""

    devices: Sequence[DeviceName] = ("cpu",)
    """Devices that may get a plan of their own."""
    plan: PlanName | None = None
    """Use this plan for them, instead of choosing by a fixed rule (`models.export.cost`)."""
    tune: bool = False
    """Choose by measuring on this machine."""
    precision: Precision = "float32"
    """`float16` applies to everything before the last layer; not of a regressor."""
    mc_dropout: int | None = None
    """Freeze the network's dropout into this many submodels."""
    seed: int = 0
    """Seed of the masks of that dropout."""

    @property
    def free(self) -> Dims:
        """The axes of free size as torch.export wants them."""
        return dims(self.input_shape or (), self.axes)

    def __post_init__(self) -> None:
        if self.resize is not None and (self.layout is None or self.colour is None):
            raise ValueError("resize: only images have another size, say which axis is what with layout and colour")
        if self.plan is not None and self.tune:
            raise ValueError("plan and tune: a plan is either forced or measured")
        if self.calibration is None and (self.coverages is not None or self.risks is not None):
            raise ValueError("coverages, risks: nothing can be guaranteed without rows for the calibration")
