from xml.etree import ElementTree

import pytest

from models.report.chart import Chart, _ticks

SVG = Chart(
    "a <b>", "x & y", '"share"', [("one", [(0.0, 0.0), (1.0, 2.0)]), ("<two>", [(0.5, 1.0)])], [(0.0, 0.5, 1.0)],
    marks=[("c 90 %", 1.5), ("beyond", 9.0)], diagonal=True,
).svg()  # fmt: skip
"""What somebody may call a class or a score."""


def found(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))


def test_names_are_escaped() -> None:
    assert ElementTree.fromstring(SVG).get("aria-label") == "a <b>"
    assert [one.text for one in found(SVG, "title")] == ["c 90 %", "one", "<two>"]  # a level outside is left out
    assert {"x & y", '"share"'} <= {one.text for one in found(SVG, "text")}


def test_values_have_their_places() -> None:
    first, second = found(SVG, "polyline")
    assert first.get("points") == "46.0,186.0 310.0,10.0"
    assert second.get("points") == "178.0,98.0"
    assert first.get("stroke-dasharray") is None
    assert second.get("stroke-dasharray") is not None  # not by colour alone


def test_axes_begin_at_zero_unless_values_float() -> None:
    line = [("a", [(0.0, 5.0), (100.0, 6.0)])]
    assert found(Chart("", "", "", line).svg(), "polyline")[0].get("points") == "46.0,39.3 310.0,10.0"
    assert found(Chart("", "", "", line, afloat=True).svg(), "polyline")[0].get("points") == "46.0,186.0 310.0,10.0"


def test_a_line_of_one_value_is_drawn() -> None:
    for value in (0.0, -2.0, 3.0):
        for afloat in (False, True):
            svg = Chart("", "", "", [("a", [(0.0, value), (1.0, value)])], afloat=afloat).svg()
            assert "nan" not in svg
            assert len(found(svg, "polyline")) == 1


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 100, [0, 20, 40, 60, 80, 100]), (-20, 1, [-20, -10, 0]),
     (4.8, 5.6, [4.8, 5.0, 5.2, 5.4, 5.6]), (0, 0.001, [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001])],
)  # fmt: skip
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert _ticks(low, high) == [pytest.approx(one) for one in expected]
