"""The dashboard by itself: what Grafana and a reader take for granted."""

import re

import pytest

from docs import generate
from tests.monitoring.dashboard import DASHBOARD, PANELS, queries
from tests.monitoring.test_rules import FOLDER

METRICS = {
    name.removesuffix("_total"): kind
    for name, kind in re.findall(r"^\| `(masksembles_\w+)` \| (\w+)", generate.metrics(), re.MULTILINE)
}
ENDS = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}
SAID = {name + end for name, kind in METRICS.items() for end in ENDS[kind]}
RULES = "".join((FOLDER / name).read_text() for name in ("alerts.yml", "drift.yml", "feedback.yml"))


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_every_panel_says_what_it_shows_and_in_what_unit(panel: dict) -> None:  # type: ignore[type-arg]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
    assert panel["targets"]


def test_panels_have_an_id_and_a_place_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_what_is_asked_for_is_a_metric_of_the_service() -> None:
    text = "\n".join([RULES, *queries().values()])
    asked = set(re.findall(r"\bmasksembles_\w+", text))
    assert len(asked) > 15
    assert asked <= SAID


def test_recorded_series_are_those_that_are_asked_for() -> None:
    recorded = set(re.findall(r"record: (\S+)", RULES))
    assert set(re.findall(r"\bmasksembles:\w+(?::\w+)?", RULES + "".join(queries().values()))) == recorded
