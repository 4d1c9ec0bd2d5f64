"""What an export is told beside the network: its answers, its data, how clients may send inputs, and how to compile."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from models.data import Split
from models.export.cost import DeviceName, PlanName
from models.export.preprocess import Normalise

Precision = Literal["float32", "float16"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `models.export.export`. One of `labels` and `targets` is needed, all others may be left out.

    Raises:
        ValueError: two of them contradict each other; the message names them.
    """

    labels: Sequence[str] | None = None
    """The K class names in order, of a classifier."""
    targets: Sequence[tuple[str, str]] | None = None
    """Instead, the names and units of the D numbers that a regressor predicts."""

    normalise: Normalise | None = None
    """(mean, std), a number or one for each channel on axis 1, put into the graph before the network."""
    value_range: tuple[float, float] | None = None
    """Smallest and largest value an input may have; the service refuses others."""
    unit: str = ""
    """What an input value is."""
    layout: str | None = None
    """A letter for each axis of images, such as BCHW. With layout, colour and, for float32, value_range, the service
    also takes image files."""
    colour: Literal["grey", "rgb"] | None = None
    """Of images."""
    resize: Literal["stretch", "crop"] | None = None
    """How the service makes images of another size fit; by default it refuses them."""

    calibration: Split | None = None
    """Held-out rows for the temperature, the scores' quantiles and what can be promised (see
    `models.evaluation.calibration`); without it the temperature is 1."""
    evaluation: Split | None = None
    """Rows that took part in nothing else, for the figures in the contract."""
    data: str = ""
    """The name of the data that both come from."""
    coverages: Sequence[float] | None = None
    """To promise, instead of those of `models.evaluation.conformal`."""
    risks: Sequence[float] | None = None
    """The same; of a classifier alone."""
    policy: str | None = None
    """What to do with an answer, such as `reject energy>c99, defer entropy>r5` (see `app.contract.policy`)."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Settings of the training, kept in the contract."""

    devices: Sequence[DeviceName] = ("cpu",)
    """That may get a plan of their own."""
    plan: PlanName | None = None
    """Force this plan for them, instead of choosing by a fixed rule (`models.export.cost`)."""
    tune: bool = False
    """Choose by measuring on this machine instead."""
    precision: Precision = "float32"
    """`float16` for everything before the last layer, of a classifier."""
    mc_dropout: int | None = None
    """Freeze the network's dropout into so many submodels."""
    seed: int = 0
    """Of the masks of that dropout."""

    def __post_init__(self) -> None:
        if self.resize is not None and (self.layout is None or self.colour is None):
            raise ValueError("resize: only images have another size, say which axis is what with layout and colour")
        if self.plan is not None and self.tune:
            raise ValueError("plan and tune: a plan is either forced or measured")
        if self.calibration is None and (self.coverages is not None or self.risks is not None):
            raise ValueError("coverages, risks: nothing can be promised without rows for the calibration")
