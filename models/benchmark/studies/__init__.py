"""The studies: the paper's tables, Fashion-MNIST and scenes of it on a small machine, and the path on two sinusoids. A
new one is registered here."""

from typing import Any

from app.contract.schema import Method
from models.benchmark.studies.entry import Entry, all_methods, masked
from models.benchmark.studies.images import ImageStudy
from models.benchmark.studies.maps import MapStudy
from models.benchmark.studies.recipes import RecipeStudy, SearchStudy
from models.benchmark.studies.sinusoids import PathStudy
from models.benchmark.studies.study import MEMBERS, Exported, Figures, Report, Study
from models.data import svhn
from models.data.corrupted import CIFAR_10_C, IMAGENET_C
from models.data.scenes import digit_cells

__all__ = [
    "BENCHMARKS", "CIFAR_10", "FASHION_MNIST", "IMAGENET", "MEMBERS", "RECIPES", "SCENES", "SEARCH", "SINUSOIDS",
    "Entry", "Exported", "Figures", "ImageStudy", "MapStudy", "PathStudy", "RecipeStudy", "Report", "SearchStudy",
    "Study",
]  # fmt: skip

_FIVE, _TWO, _ONE = (0, 1, 2, 3, 4), (0, 1), (0,)

FASHION_MNIST = ImageStudy(
    data="fashion-mnist",
    classes=10,
    input_shape=(1, 28, 28),
    compared=(
        *all_methods(masked((1.5, 2.0, 3.0), ("width", "capacity"), _FIVE), _FIVE),
        Entry("masksembles", 2.0, "head", seeds=(0, 1), tried=True),
        Entry("single", variant="long", seeds=(0, 1), tried=True),
        Entry("masksembles", 2.0, "long", seeds=(0, 1), tried=True),
        Entry("single", held_out=True, seeds=(0, 1)),
        Entry("mc-dropout", held_out=True, seeds=(0, 1)),
        Entry("masksembles", 3.0, "capacity", held_out=True, seeds=(0, 1)),
        Entry("deep-ensemble", held_out=True, seeds=(0, 1)),
    ),
    complete=True,
    settings={
        "network": "cnn",
        "align": None,
        "options": {"widths": [16, 32, 64, 64], "strided": True},
        "rows": 10_000,
        "epochs": 20,
        "weight_decay": 1e-4,
        "flip": False,
    },
    variants={
        "width": {"options": {"widen": False}},
        "capacity": {"options": {"widen": True}},
        "head": {"options": {"widen": False, "first_mask": 2}},
        "long": {"options": {"widen": False}, "epochs": 60},
    },
    dropout=0.2,
    held_out=("pullover", "sneaker"),
    corrupted_rows=2000,
)

_BROAD = {"widths": [16, 40, 72, 128]}
_LATE = {"options": {"first_mask": 1, **_BROAD}, "repeat": True}
_EPOCHS = 40

_SETTINGS: dict[str, dict[str, Any]] = {
    "mirrored": {"flip": True},
    "faster": {"flip": True, "learning_rate": 6e-3},
    "shifted": {"flip": True, "learning_rate": 6e-3, "crop": 1},
    "shifted-forty": {"flip": True, "learning_rate": 6e-3, "crop": 1, "epochs": _EPOCHS},
}
_SEARCHED: tuple[tuple[Method, str], ...] = (
    ("single", ""), ("mc-dropout", ""), ("masksembles", ""), ("masksembles", "late-"), ("deep-ensemble", ""),
)  # fmt: skip

SEARCH = SearchStudy(
    title="fashion-mnist-search",
    data="fashion-mnist",
    classes=10,
    input_shape=(1, 28, 28),
    compared=tuple(
        Entry(method, 2.0 if method == "masksembles" else 1.0, f"{network}{setting}", seeds=_ONE)
        for method, network in _SEARCHED
        for setting in _SETTINGS
    ),
    complete=True,
    settings=FASHION_MNIST.settings,
    variants={
        **_SETTINGS,
        **{f"late-{setting}": {**_LATE, **changes} for setting, changes in _SETTINGS.items()},
    },
    dropout=0.2,
    corrupted_rows=0,
)
"""What each method may choose from for `RECIPES`: as many settings for one as for another."""

RECIPES = RecipeStudy(
    title="fashion-mnist-recipes",
    data="fashion-mnist",
    classes=10,
    input_shape=(1, 28, 28),
    compared=(
        *all_methods(masked((2.0,), ("width", "late"), _FIVE), _FIVE),
        *all_methods(masked((2.0,), ("width", "late"), _FIVE), _FIVE, held_out=True),
        Entry("single", variant="broad", tried=True),
        Entry("single", variant="broad", held_out=True, tried=True),
        *masked((2.0,), ("narrow", "once", "repeated", "joint"), _FIVE, tried=True),
        *masked((2.0,), ("taught",), _ONE, tried=True),
        Entry("single", variant="forty", seeds=_TWO, tried=True),
        *masked((2.0,), ("longer",), _TWO, tried=True),
    ),
    complete=True,
    settings={**FASHION_MNIST.settings, "flip": True, "crop": 1, "learning_rate": 6e-3},
    variants={
        "width": {},
        "late": _LATE,
        "broad": {"options": _BROAD},
        "narrow": {"options": {"first_mask": 1}, "repeat": True},
        "once": {"options": _LATE["options"]},
        "repeated": {"repeat": True},
        "joint": {**_LATE, "joint": 0.5},
        "taught": {**_LATE, "teachers": MEMBERS},
        "forty": {"epochs": _EPOCHS},
        "longer": {**_LATE, "epochs": _EPOCHS},
    },
    dropout=0.2,
    held_out=FASHION_MNIST.held_out,
    corrupted_rows=0,
)
"""A better recipe for Masksembles, beside all methods with the same schedule and augmentation, and what each part of it
brings. Settings were chosen on images of the training split that no training uses."""

SINUSOIDS = PathStudy(
    data="sinusoids",
    classes=2,
    input_shape=(2,),
    compared=(
        Entry("single", seeds=_ONE),
        *masked((1.1, 2.0, 3.0, 10.0), ("width",), _ONE),
        Entry("deep-ensemble", seeds=_ONE),
    ),
)

SCENES = MapStudy(
    data="scenes",
    classes=11,
    input_shape=(1, 64, 64),
    compared=all_methods(masked((2.0,), ("width",), (0, 1)), (0, 1)),
    settings={"epochs": 8},  # half of the shipped model's: nine trainings take an hour on two cores
    dropout=0.2,
    corrupted_rows=100,
    strange={"digits": digit_cells},
)

CIFAR_10 = ImageStudy(
    data="cifar-10",
    classes=10,
    input_shape=(3, 32, 32),
    compared=all_methods([*masked((1.1, 1.4, 2.0, 3.0), ("width",), _ONE), *masked((1.5,), ("wide",), _ONE)], _ONE),
    variants={"width": {}, "wide": {"options": {"widening": 6}}},
    corrupted_files=CIFAR_10_C,
    ood_files={"SVHN": (svhn.FILE, svhn.svhn)},
)
"""Table 1 and figures 6 and 8 of the paper. It does not give the settings of its best network, only that it has 2.3
times the weights: with all layers half as wide again, that means S = 1.5."""

IMAGENET = ImageStudy(
    data="imagenet",
    classes=1000,
    input_shape=(3, 224, 224),
    compared=all_methods(masked((1.21, 2.17, 3.0), ("width",), _ONE), _ONE),
    family="imagenet",
    corrupted_files=IMAGENET_C,
)
"""Table 2 and figure 10: mask overlaps of 0.7, 0.3 and 0.2."""

BENCHMARKS: dict[str, tuple[Study, ...]] = {
    "cifar-10": (CIFAR_10,),
    "fashion-mnist": (FASHION_MNIST, SINUSOIDS),
    "fashion-mnist-recipes": (SEARCH, RECIPES),
    "imagenet": (IMAGENET,),
    "scenes": (SCENES,),
}
"""The studies that `python -m models benchmark NAME` runs."""
