"""The figures of all entries as tables in Markdown: mean and standard deviation over the seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.benchmark.studies.entry import Entry, reference
from models.data.corruptions import SEVERITIES

Figures = Mapping[str, Sequence[Mapping[str, Any]]]
"""The figures of each entry, by its name, one for each seed."""

_SHORT = {
    "entropy": "entropy",
    "mutual_information": "MI",
    "energy": "energy",
    "max_probability": "1 − max p̄",
}
_DETECTORS = {**_SHORT, "max_logit": "max logit", "divergence": "pairwise KL"}
_OF_DISAGREEMENT = ("mutual_information", "divergence")
_NEAR = ("entropy", "mutual_information")


def predictive(compared: Sequence[Entry], figures: Figures) -> str:
    """Accuracy and calibration on the test rows, and what an answer costs."""
    single = figures[reference(compared).name]
    macs, held = (np.mean([one[name] for one in single]) for name in ("macs", "weights"))
    columns: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "weights": lambda one: one["weights"] / held,
        "cost": lambda one: one["macs"] / macs,
        "accuracy": lambda one: one["test"]["accuracy"],
        "NLL, T = 1": lambda one: one["test"]["nll_uncalibrated"],
        "NLL": lambda one: one["test"]["nll"],
        "Brier": lambda one: one["test"]["brier"],
        "ECE, T = 1": lambda one: one["test"]["ece_uncalibrated"],
        "ECE": lambda one: one["test"]["ece"],
        "adaptive ECE": lambda one: one["test"]["adaptive_ece"],
        "AURC": lambda one: one["test"]["aurc"]["entropy"],
        "disagreement": lambda one: one["test"]["disagreement"],
    }
    return _methods(compared, figures, columns)


def cells(compared: Sequence[Entry], figures: Figures) -> str:
    """How right and how well calibrated the cells of maps are, and the confidence of rows; and what an answer costs."""
    single = figures[reference(compared).name]
    macs, held = (np.mean([one[name] for one in single]) for name in ("macs", "weights"))
    return _methods(
        compared,
        figures,
        {
            "weights": lambda one: one["weights"] / held,
            "cost": lambda one: one["macs"] / macs,
            "accuracy": lambda one: one["test"]["accuracy"],
            "mean IoU": lambda one: one["test"]["mean_iou"],
            "NLL, T = 1": lambda one: one["test"]["nll_uncalibrated"],
            "NLL": lambda one: one["test"]["nll"],
            "ECE, T = 1": lambda one: one["test"]["ece_uncalibrated"],
            "ECE": lambda one: one["test"]["ece"],
            "ECE of rows": lambda one: one["test"]["row_ece"],
            "AURC of rows": lambda one: one["test"]["aurc"]["entropy"],
        },
    )


def ranking(compared: Sequence[Entry], figures: Figures) -> str:
    """How well each score of rows ranks them by their shares of wrong cells: AUROC of the worst tenth, and Spearman."""
    rows = []
    for entry in (entry for entry in compared if not entry.held_out):
        ranked = [one["test"]["ranking"] for one in figures[entry.name]]
        told = (
            ", ".join(_spread([one[score][of] for one in ranked], 3) for of in ("auroc_worst_tenth", "spearman"))
            for score in _SHORT
        )
        rows.append([entry.label, *told])
    return _table(["method", *_SHORT.values()], rows)


def recipes(compared: Sequence[Entry], figures: Figures, times: Mapping[str, Mapping[str, float]]) -> str:
    """A method with all its figures in one row: cost, accuracy, calibration, and AUROC, far from the training data of
    energy, and on classes held out of training of entropy and mutual information, which comes from other trainings."""
    twins = {replace(entry, held_out=False, seeds=()): figures[entry.name] for entry in compared if entry.held_out}
    macs = np.mean([one["macs"] for one in figures[reference(compared).name]])
    rows = []
    for entry in (entry for entry in compared if not entry.held_out):
        found, twin = figures[entry.name], twins.get(replace(entry, seeds=()), ())
        rows.append(
            [
                entry.label,
                _spread([one["macs"] / macs for one in found], 2),
                f"{times[f'{entry.name}-{entry.seeds[0]}']['16']:.2f}",
                *(
                    _spread([one["test"][name] for one in found], 4)
                    for name in ("accuracy", "nll", "ece", "nll_uncalibrated", "ece_uncalibrated")
                ),
                *(_spread([one["ood"][name]["energy"]["auroc"] for one in found], 3) for name in found[0]["ood"]),
                *(_auroc(twin, ("ood", "held-out classes"), name) for name in _NEAR),
            ]
        )
    heads = ["method", "cost", "time", "accuracy", "NLL", "ECE", "NLL, T = 1", "ECE, T = 1"]
    far = [f"{name}, energy" for name in figures[reference(compared).name][0]["ood"]]
    return _table([*heads, *far, *(f"held-out classes, {_DETECTORS[name]}" for name in _NEAR)], rows)


def search(compared: Sequence[Entry], figures: Figures) -> str:
    """Accuracy, NLL and ECE, all after calibration; the rows of a method follow one another."""
    columns: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "accuracy": lambda one: one["test"]["accuracy"],
        "NLL": lambda one: one["test"]["nll"],
        "ECE": lambda one: one["test"]["ece"],
    }
    return _methods(compared, figures, columns)


def severities(compared: Sequence[Entry], figures: Figures) -> str:
    """Accuracy and ECE, before and after calibration, by severity: means over kinds of corruption and seeds."""
    rows = []
    for entry in compared:
        if not entry.shown:
            continue
        cells = [entry.label]
        for name in ("accuracy", "ece_uncalibrated", "ece"):
            for severity in range(len(SEVERITIES)):
                cells.append(_spread(by_seed(figures[entry.name], name, severity), 3))
        rows.append(cells)
    heads = [f"{name} {severity}" for name in ("accuracy", "ECE, T = 1,", "ECE") for severity in SEVERITIES]
    return _table(["method", *heads], rows)


def by_seed(figures: Sequence[Mapping[str, Any]], name: str, severity: int) -> list[float]:
    """A figure at one severity (counted from 0), the mean over all kinds, for each seed."""
    return [float(np.mean([kind[severity][name] for kind in one["corrupted"].values()])) for one in figures]


def ood(compared: Sequence[Entry], figures: Figures, of: str = "ood") -> str:
    """AUROC with its spread, AUPR and FPR95 of each score, by OOD set and method; `of` are the figures' name."""
    measured = [scores for entry in compared for scores in figures[entry.name][0][of].values()]
    shown = [score for score in _DETECTORS if all(score in scores for scores in measured)]
    rows = [
        [name, entry.label, *(_detected(figures[entry.name], (of, name), score) for score in shown)]
        for entry in compared
        for name in figures[entry.name][0][of]
    ]
    order = {name: index for index, name in enumerate(dict.fromkeys(row[0] for row in rows))}
    heads = ["OOD set", "method", *(_DETECTORS[score] for score in shown)]
    return _table(heads, sorted(rows, key=lambda row: order[row[0]]))


def _detected(figures: Sequence[Mapping[str, Any]], where: tuple[str, str], score: str) -> str:
    if (auroc := _auroc(figures, where, score)) == "–":
        return auroc
    found = [one[where[0]][where[1]][score] for one in figures]
    aupr, fpr95 = (f"{np.mean([one[name] for one in found]):.3f}" for name in ("aupr", "fpr95"))
    return f"{auroc}, {aupr}, {fpr95}"


def _auroc(figures: Sequence[Mapping[str, Any]], where: tuple[str, str], score: str) -> str:
    # of one submodel disagreement is always 0, so it ranks nothing
    told = [one for one in figures if one["num_submodels"] > 1 or score not in _OF_DISAGREEMENT]
    return _spread([one[where[0]][where[1]][score]["auroc"] for one in told], 3)


def path(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The sinusoids: figures of each point of the path."""
    rows = [
        [point["label"], f"{point['accuracy']:.3f}", f"{point['far_entropy']:.3f}", f"{point['far_correlation']:.3f}"]
        for point in figures.values()
    ]
    return _table(["", "accuracy", "mean entropy far from the data, nats", "submodels' correlation there"], rows)


def seconds(ratios: Mapping[str, Mapping[str, float]], labels: Mapping[str, str]) -> str:
    """How long an answer takes relative to the single network, by batch size."""
    batches = list(next(iter(ratios.values())))
    rows = [[labels[name], *(f"{one[batch]:.2f}" for batch in batches)] for name, one in ratios.items()]
    return _table(["time relative to single", *(f"batch {batch}" for batch in batches)], rows)


def _methods(
    compared: Sequence[Entry], figures: Figures, columns: Mapping[str, Callable[[Mapping[str, Any]], Any]]
) -> str:
    digits = {"weights": 1, "cost": 2}
    rows = [
        [entry.label]
        + [_spread([of(one) for one in figures[entry.name]], digits.get(name, 4)) for name, of in columns.items()]
        for entry in compared
        if not entry.held_out
    ]
    return _table(["method", *columns], rows)


def _spread(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{np.mean(known):.{digits}f}"
    return mean if np.ptp(known) == 0 else f"{mean} ± {deviation(known):.{digits}f}"


def deviation(values: Sequence[float]) -> float:
    """The standard deviation that a few seeds stand for (ddof 1); 0 for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
