"""A chart as SVG, whose colours come from the page around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

Point = tuple[float, float]

_WIDTH, _HEIGHT = 320, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 34
"""Room for the numbers and names of the axes."""
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4")
"""Lines differ in more than colour."""


@dataclass(frozen=True)
class Chart:
    """Lines and bars over two axes, which begin at 0 or below."""

    title: str
    x: str
    """Name of the axis, as that of `y`."""
    y: str
    lines: Sequence[tuple[str, Sequence[Point]]] = ()
    """By name."""
    bars: Sequence[tuple[float, float, float]] = ()
    """From, to, height."""
    marks: Sequence[tuple[str, float]] = ()
    """Levels across the chart, by name."""
    diagonal: bool = False
    """Where y would equal x."""
    unit: bool = False
    """Both axes end at 1, whatever the values."""
    afloat: bool = False
    """The upright axis begins at the lowest value, for values that 0 is not special to."""

    def svg(self) -> str:
        """The chart as an element of HTML."""
        horizontal, vertical = self._spans()

        def place(x: float, y: float) -> str:
            return f"{_along(x, horizontal, _LEFT, _WIDTH - _RIGHT)},{_along(y, vertical, _HEIGHT - _BOTTOM, _TOP)}"

        parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(self.title)}">']
        for value in _ticks(*vertical):
            at = _along(value, vertical, _HEIGHT - _BOTTOM, _TOP)
            parts.append(f'<path class="grid" d="M{_LEFT},{at}H{_WIDTH - _RIGHT}"/>')
            parts.append(f'<text x="{_LEFT - 5}" y="{at + 4}" text-anchor="end">{value:.4g}</text>')
        for value in _ticks(*horizontal):
            at = _along(value, horizontal, _LEFT, _WIDTH - _RIGHT)
            parts.append(f'<text x="{at}" y="{_HEIGHT - _BOTTOM + 14}" text-anchor="middle">{value:.4g}</text>')
        for start, end, height in self.bars:
            corners = [(start, vertical[0]), (start, height), (end, height), (end, vertical[0])]
            parts.append(f'<polygon class="bar" points="{" ".join(place(*corner) for corner in corners)}"/>')
        if self.diagonal:
            parts.append(f'<path class="diagonal" d="M{place(0, 0)}L{place(1, 1)}"/>')
        for name, level in self.marks:
            if vertical[0] <= level <= vertical[1]:
                first, last = place(horizontal[0], level), place(horizontal[1], level)
                parts.append(f'<path class="diagonal" d="M{first}L{last}"><title>{escape(name)}</title></path>')
        for index, (name, points) in enumerate(self.lines):
            dash = f' stroke-dasharray="{_DASHES[index % len(_DASHES)]}"' if index % len(_DASHES) else ""
            path = " ".join(place(*point) for point in points)
            parts.append(
                f'<polyline class="line c{index % len(_DASHES)}"{dash} points="{path}">'
                f"<title>{escape(name)}</title></polyline>"
            )
        middle = (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{escape(self.x)}</text>')
        parts.append(
            f'<text x="9" y="{middle}" text-anchor="middle" transform="rotate(-90 9 {middle})">{escape(self.y)}</text>'
        )
        return "".join([*parts, "</svg>"])

    def _spans(self) -> tuple[Point, Point]:
        """The ends of both axes."""
        if self.unit:
            return (0.0, 1.0), (0.0, 1.0)
        points = [point for _, line in self.lines for point in line] or [(0.0, 0.0), (1.0, 1.0)]
        (low, high), (bottom, top) = ((min(values), max(values)) for values in zip(*points))
        return _span(min(low, 0.0), high), _span(bottom if self.afloat else min(bottom, 0.0), top)


def _span(low: float, high: float) -> Point:
    """Never empty."""
    return low, high if high > low else low + 1


def _along(value: float, span: Point, start: float, end: float) -> float:
    low, high = span
    return round(start + (value - low) / (high - low) * (end - start), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, three to seven of them."""
    step = 10.0 ** floor(log10((high - low) / 2))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [index * step for index in range(-floor(-low / step + 1e-9), floor(high / step + 1e-9) + 1)]
