"""The maps of dense heads in an answer: as numbers in JSON, or as PNG."""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.api.body import MOST_NUMBERS
from app.api.predict import pictures
from app.api.predict.pictures import MapRange
from app.api.predict.tasks import ANSWERS
from app.api.predict.tasks.task import JsonRows, OutputSelection
from app.contract.schema import shape_at
from app.contract.tasks.task import Arrays
from app.engine.model import Model
from app.errors import InvalidInput

_OTHER_WAYS = (
    "ask for arrays with `Accept: application/x-npz`, for one map of one row as a picture with `Accept: image/png`, or "
    "for pictures within JSON with `maps` = `png`"
)


class MapForm(NamedTuple):
    """How a request wants maps as pictures."""

    colormap: Literal["viridis"] | None
    bits: Literal[8, 16] | None

    def check(self) -> None:
        """Checks that the two go together.

        Raises:
            InvalidInput: they do not.
        """
        if self.colormap is not None and self.bits == 16:
            raise InvalidInput("expected 8 with a colormap, whose colours are 256", "bits")


def of(selection: OutputSelection) -> list[str]:
    """The maps that a request wants of a head."""
    maps = ANSWERS[selection.head.task].menu(selection.head).maps
    return [name for name in selection.chosen if name in maps]


def check_size(model: Model, selections: Sequence[OutputSelection], sizes: Mapping[str, int]) -> None:
    """Checks that maps in JSON would not be too large.

    Args:
        sizes: of B and of free axes, by letter.

    Raises:
        InvalidInput: they would.
    """
    numbers = 0
    for selection in selections:
        if selection.head.grid:
            numbers += _numbers(selection, model.contract.num_submodels, sizes)
    if numbers > MOST_NUMBERS:
        raise InvalidInput(
            f"{numbers} numbers are too many for JSON, which has at most {MOST_NUMBERS} of maps: {_OTHER_WAYS}",
            "outputs",
        )


def _numbers(selection: OutputSelection, submodels: int, sizes: Mapping[str, int]) -> int:
    head = selection.head
    menu = ANSWERS[head.task].menu(head).selectable
    shapes = {tensor.name: head.resolved(tensor, submodels).shape for tensor in head.outputs}
    return sum(prod(shape_at(shapes[output], sizes)) for name in of(selection) for output in menu[name])


def is_one(selections: Sequence[OutputSelection]) -> bool:
    """Whether a request wants one map, and nothing else."""
    return sum(len(selection.chosen) for selection in selections) == 1 and any(map(of, selections))


def check_picture(selections: Sequence[OutputSelection], sizes: Mapping[str, int]) -> None:
    """Checks that a request for a picture wants one map of one row.

    Raises:
        InvalidInput: it wants something else.
    """
    if not is_one(selections):
        wanted = [selection.head.graph_name(name) for selection in selections for name in selection.chosen]
        raise InvalidInput(
            "with `Accept: image/png` expected one map, such as outputs=entropy, of a model that answers for each cell "
            f"of a map; got {', '.join(wanted)}"[:500],
            "outputs",
        )
    if sizes["B"] != 1:
        raise InvalidInput(f"with `Accept: image/png` expected one row, got {sizes['B']}", "inputs")


def check_pictures(model: Model, selections: Sequence[OutputSelection]) -> None:
    """Checks that all maps that a request wants can be shown as pictures.

    Raises:
        InvalidInput: one is no map with height and width, or several on top of each other.
    """
    for selection in selections:
        head = selection.head
        graphs = {tensor.name: head.resolved(tensor, model.contract.num_submodels).shape for tensor in head.outputs}
        for name in of(selection):
            above = graphs.get(name, ("B", 2))[1 : -len(head.grid)]  # derived ones have several for each cell
            if len(head.grid) != 2 or name not in graphs or any(size != 1 for size in above):
                raise InvalidInput(
                    f"{head.graph_name(name)} is no single map [H, W], which a picture could show: ask for arrays with "
                    "`Accept: application/x-npz`",
                    "outputs",
                )


def put_numbers(rows: JsonRows, name: str, values: Iterable[NDArray[Any] | None]) -> None:
    """Gives each row a map as nested numbers, of values [B, …, G]; null where there are none."""
    for row, own in zip(rows, values):
        row.setdefault("maps", {})[name] = None if own is None else np.ascontiguousarray(own)


def put_pictures(
    rows: JsonRows, selection: OutputSelection, name: str, found: Arrays, model: Model, form: MapForm
) -> None:
    """Gives each row a map as a PNG file in base64, with the values of its smallest and largest pixel."""
    for index, row in enumerate(rows):
        png, limits = picture(selection, name, found[name][index], model, form)
        told: dict[str, Any] = {"png": pictures.as_text(png)}
        if limits is not None:
            told |= {"least": limits.least, "most": limits.most}
        row.setdefault("maps", {})[name] = told


def picture(
    selection: OutputSelection, name: str, values: NDArray[Any], model: Model, form: MapForm
) -> tuple[bytes, MapRange | None]:
    """One row's map as a PNG file, and what its pixels stand for if they are no classes.

    Args:
        values: [H, W], or [1, H, W] of the only label or target.

    Raises:
        OutputNotFinite: a value is not finite.
    """
    head, task = selection.head, ANSWERS[selection.head.task]
    if values.ndim == len(head.grid) + 1 and len(values) == 1:
        values = values[0]
    shown = head.graph_name(name)
    if (classes := task.map_classes(head, name)) is not None:
        return pictures.of_classes(values, classes, shown), None
    limits = task.map_range(head, model.contract.num_submodels, name)
    if form.colormap is not None:
        found = pictures.coloured(values, shown, limits)
    else:
        found = pictures.grey(values, shown, limits, form.bits or 8)
    return found.png, found.range
