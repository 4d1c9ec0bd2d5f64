"""The queries of the dashboard as Grafana sends them, with its variables filled in."""

import json
from typing import Any

from tests.serving import ROOT

FILE = ROOT / "docker" / "monitoring" / "grafana" / "dashboards" / "masksembles.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def filled(expression: str, models: str = ".*", interval: str = "5s") -> str:
    """An expression with the models that are chosen and the interval of rates."""
    return expression.replace("$model", models).replace("$__rate_interval", interval)


def queries() -> dict[str, str]:
    """The expression of each curve of each panel, of each annotation, by their titles."""
    curves = {
        f"{panel['title']}: {target['legendFormat']}": target["expr"] for panel in PANELS for target in panel["targets"]
    }
    return curves | {mark["name"]: mark["expr"] for mark in DASHBOARD["annotations"]["list"]}
