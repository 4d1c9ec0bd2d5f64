"""The charts of a head: what its evaluation and its calibration hold, whatever its task."""

from typing import Any

from app.contract.calibration import Calibration
from app.contract.head import Head
from models.evaluation.metrics import BINS
from models.report.chart import Chart

_ABBREVIATIONS = {word.lower(): word for word in ("NLL", "ECE", "IoU", "RMSE", "AUROC", "F1")}


def charts(head: Head) -> list[Chart]:
    """The charts of its evaluation, and then those of its scores."""
    found = head.evaluation.model_dump() if head.evaluation else {}
    return [
        *_reliability(found.get("reliability", ())),
        *_risks(found.get("risk_coverage", {}), [target.name for target in head.targets]),
        *_levels(found.get("coverage_by_level", ()), [target.name for target in head.targets]),
        *(_quantiles(head.calibration) if head.calibration else ()),
    ]


def numbers(head: Head) -> dict[str, str]:
    """The numbers of its evaluation by name, in words and digits."""
    found: dict[str, Any] = head.evaluation.model_dump(exclude_none=True) if head.evaluation else {}
    return {
        _words(name): told
        for name, value in found.items()
        if name not in ("data", "reliability", "risk_coverage", "coverage_by_level")
        if (told := _told(value))
    }


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_words(name)} {_told(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_told, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reliability(bins: Any) -> list[Chart]:
    if not bins:
        return []
    bars = []
    for one in bins:
        # the bin is closed above; five digits may have rounded its mean onto the edge
        place = min(int(one["confidence"] * BINS), BINS - 1)
        bars.append((place / BINS, (place + 1) / BINS, one["accuracy"]))
    line = [(one["confidence"], one["accuracy"]) for one in bins]
    return [Chart("Reliability", "confidence", "accuracy", [("found", line)], bars, diagonal=True, unit=True)]


def _risks(curves: Any, targets: list[str]) -> list[Chart]:
    """One chart of all scores; of a regressor one for each target."""
    if not curves:
        return []
    if not targets:
        lines = [(_words(score), [(one["coverage"], one["risk"]) for one in of]) for score, of in curves.items()]
        return [Chart("Risk by coverage", "share answered", "share wrong", lines)]
    return [
        Chart(
            f"Error by coverage: {name}", "share answered", "RMSE",
            [(_words(score), [(one["coverage"], one["rmse"][index]) for one in of]) for score, of in curves.items()],
        )
        for index, name in enumerate(targets)
    ]  # fmt: skip


def _levels(levels: Any, targets: list[str]) -> list[Chart]:
    lines = [(name, [(one["level"], one["coverage"][index]) for one in levels]) for index, name in enumerate(targets)]
    return [Chart("Coverage of intervals", "level", "share within", lines, diagonal=True, unit=True)] if levels else []


def _quantiles(calibration: Calibration) -> list[Chart]:
    return [
        Chart(
            f"Quantiles of {_words(score)}", "percent of rows", "nats" if score != "confidence" else "probability",
            [(_words(score), list(enumerate(values)))], afloat=True,
            marks=[
                (f"{one.guarantee} {100 * one.target:g} %", one.value)
                for one in calibration.thresholds
                if one.score == score
            ],
        )
        for score, values in calibration.quantiles.items()
    ]  # fmt: skip


def _words(name: str) -> str:
    """A name of the contract as one says it; a percentage that intervals are named by has its sign."""
    words = (_ABBREVIATIONS.get(word, word) for word in name.split("_"))
    return f"{name} %:" if name.replace(".", "").isdecimal() else " ".join(words)
