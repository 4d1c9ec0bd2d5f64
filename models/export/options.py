"""Options of an export: the network's answers, its data, how clients may send inputs, and how to compile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from app.contract.axis import Axes
from app.contract.tasks import TaskName
from models.data import Split
from models.export.cost import DeviceName, PlanName
from models.export.preprocess import Normalise

Range = tuple[float, float]
Precision = Literal["float32", "float16"]


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Options of one of several inputs, as the fields of `ExportOptions`; `shape` is `input_shape` there."""

    shape: Sequence[int | str] | None = None
    normalise: Normalise | None = None
    value_range: Range | Sequence[Range] | None = None
    unit: str = ""
    features: Sequence[str] | None = None
    symbols: Sequence[str] | None = None
    layout: str | None = None
    colour: Literal["grey", "rgb"] | None = None
    resize: Literal["stretch", "crop"] | None = None

    def __post_init__(self) -> None:
        if self.resize is not None and (self.layout is None or self.colour is None):
            raise ValueError("resize: only images have another size, say which axis is what with layout and colour")


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Options of one of several heads, as the fields of the same name of `ExportOptions`."""

    labels: Sequence[str] | None = None
    targets: Sequence[tuple[str, str]] | None = None
    task: TaskName | None = None
    coverages: Sequence[float] | None = None
    risks: Sequence[float] | None = None
    policy: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `models.export.export`. Either `labels` or `targets` is required, or `heads`; all others are optional.

    Raises:
        ValueError: two of them contradict each other; the message names them.
    """

    labels: Sequence[str] | None = None
    """The K class names of a classifier, in order; or the names of K labels, of which each is on or off."""
    targets: Sequence[tuple[str, str]] | None = None
    """Instead of `labels`: the names and units of the D numbers that a regressor predicts."""
    task: TaskName | None = None
    """`multilabel` for labels that are each on or off; by default `labels` are classes, of which a row has one."""
    heads: Mapping[str, HeadOptions] = field(default_factory=dict)
    """Of a network with several heads, the options of each by its name: in the order of the tuple that it returns, or
    by the keys of its dict."""

    input_shape: Sequence[int | str] | None = None
    """Of one row, with a letter for each axis of free size, such as (1, "H", "W"); by default that of the example."""
    axes: Axes = field(default_factory=dict)
    """The bounds of those axes, `{"H": FreeAxis(least=32, most=1024, multiple_of=8)}`, and of a sequence's how shorter
    rows are padded."""
    inputs: Mapping[str, InputOptions] = field(default_factory=dict)
    """Of a network with several inputs, the options of each by its name, in the order of the network's arguments."""
    normalise: Normalise | None = None
    """(mean, std), a number or one for each channel on axis 1, put into the graph before the network."""
    value_range: Range | Sequence[Range] | None = None
    """Smallest and largest value an input may have, one pair, or one for each channel or feature on axis 1; the service
    refuses others. Whole numbers of type int32 or int64, such as ids of tokens, must have one."""
    unit: str = ""
    """What an input value is."""
    features: Sequence[str] | None = None
    """The names of the F features of an input [B, F], so that a form can ask for them."""
    symbols: Sequence[str] | None = None
    """What each id of an input of whole numbers stands for, from id 0 to the largest of `value_range`, so that a client
    can turn a text into ids; "" for padding and for what is unknown."""
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
    def head_options(self) -> Mapping[str, HeadOptions]:
        """The options of each head, by its name, in the order of the network's outputs."""
        return self.heads or {"": HeadOptions(**{one.name: getattr(self, one.name) for one in fields(HeadOptions)})}

    @property
    def input_options(self) -> Mapping[str, InputOptions]:
        """The options of each input, by its name, in the order of the network's arguments."""
        own = {one.name: getattr(self, _FIELDS.get(one.name, one.name)) for one in fields(InputOptions)}
        return self.inputs or {"input": InputOptions(**own)}

    def __post_init__(self) -> None:
        for several, kind in (("inputs", InputOptions), ("heads", HeadOptions)):
            if getattr(self, several):
                self._check_none_beside(several, kind)
        _ = self.input_options  # which checks them
        if self.plan is not None and self.tune:
            raise ValueError("plan and tune: a plan is either forced or measured")
        asked = self.head_options.values()
        if self.calibration is None and any(one.coverages is not None or one.risks is not None for one in asked):
            raise ValueError("coverages, risks: nothing can be guaranteed without rows for the calibration")

    def _check_none_beside(self, several: str, kind: type[InputOptions] | type[HeadOptions]) -> None:
        """Checks that what is said of each input or head is not said of the only one, too."""
        defaults = {one.name: one.default for one in fields(self)}
        for one in fields(kind):
            name = _FIELDS.get(one.name, one.name) if kind is InputOptions else one.name
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"{name}: with {several}, each of them says it for itself")


_FIELDS = {"shape": "input_shape"}
"""What `ExportOptions` calls a field of `InputOptions`."""
