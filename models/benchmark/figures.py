"""Plots of accuracy and calibration by the severity of corruptions, and of the path from one network to an ensemble."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from models.benchmark.studies.entry import Entry, reference
from models.benchmark.tables import deviation
from models.data import Split
from models.data.corruptions import SEVERITIES
from models.training.methods import REFERENCE

Figures = Mapping[str, Sequence[Mapping[str, Any]]]

_PRICE = 1.5
"""Of what may be paid for submodels: passes of a single network."""


def severity(compared: Sequence[Entry], figures: Figures, path: Path) -> None:
    """Box plots of accuracy and uncalibrated ECE by severity, over kinds of corruption and seeds; one box per method.

    Boxes are quartiles, whiskers the minimum and maximum.
    """
    shown = [entry for entry in compared if entry.shown]
    figure = Figure(figsize=(13, 8), layout="constrained")
    colours = [f"C{index}" for index in range(len(shown))]
    for plot, (name, title) in zip(
        figure.subplots(2, 1, sharex=True), (("accuracy", "accuracy"), ("ece_uncalibrated", "ECE before calibration"))
    ):
        for index, entry in enumerate(shown):
            values = [
                [kind[at][name] for one in figures[entry.name] for kind in one["corrupted"].values()]
                for at in range(len(SEVERITIES))
            ]
            box = plot.boxplot(
                values,
                positions=np.arange(len(SEVERITIES)) * (len(shown) + 2) + index,
                widths=0.8,
                whis=(0, 100),
                patch_artist=True,
                medianprops={"color": "black"},
            )
            for patch in box["boxes"]:
                patch.set_facecolor(colours[index])
            plot.plot([], [], color=colours[index], linewidth=8, label=entry.label)
        plot.set_ylabel(title)
        plot.set_xticks(np.arange(len(SEVERITIES)) * (len(shown) + 2) + (len(shown) - 1) / 2, SEVERITIES)
    plot.set_xlabel("severity")
    plot.legend(ncols=3)
    figure.savefig(path, dpi=70)


def transition(compared: Sequence[Entry], figures: Figures, path: Path) -> None:
    """Accuracy, ECE before calibration, AUROC of entropy for the first OOD set, and disagreement against the
    scale: a line for each variant of masked networks, and a horizontal line for each other method."""
    shown = [entry for entry in compared if entry.shown]
    ood = next(iter(figures[shown[0].name][0]["ood"]))
    wanted: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "accuracy": lambda one: one["test"]["accuracy"],
        "ECE before calibration": lambda one: one["test"]["ece_uncalibrated"],
        f"AUROC of entropy, {ood}": lambda one: one["ood"][ood]["entropy"]["auroc"],
        "disagreement": lambda one: one["test"]["disagreement"],
    }
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    for plot, (title, of) in zip(figure.subplots(1, len(wanted)), wanted.items()):
        for variant in dict.fromkeys(entry.variant for entry in shown if entry.kind.masked):
            masked = [entry for entry in shown if entry.kind.masked and entry.variant == variant]
            values = [[of(one) for one in figures[entry.name]] for entry in masked]
            plot.errorbar(
                [entry.scale for entry in masked],
                [np.mean(one) for one in values],
                [deviation(one) for one in values],
                marker="o",
                label=f"{masked[0].kind.label}, {masked[0].variant_label}",
            )
        for entry in (entry for entry in shown if not entry.kind.masked):
            found = [value for one in figures[entry.name] if (value := of(one)) is not None]
            if found:
                plot.axhline(float(np.mean(found)), color="black", linestyle=entry.kind.line, label=entry.label)
        plot.set_title(title)
        plot.set_xlabel("scale S")
    figure.axes[0].legend(fontsize="small")  # not every method has a figure in the last one
    figure.savefig(path, dpi=70)


def entropy_maps(
    points: Collection[Mapping[str, Any]],
    corners: tuple[tuple[float, float], tuple[float, float]],
    steps: tuple[int, int],
    rows: Split,
    path: Path,
) -> None:
    """One plot with the entropy of each point of a path, low violet to high yellow, and the data.

    Args:
        points: six, each with a `label` and its `entropy` on a grid [x · y], rows of equal y one after the other.
        corners, steps: of the grid, along x and y.
        rows: of two classes, inputs [B, 2].
    """
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    for plot, point in zip(axes.flat, points):
        entropy = np.asarray(point["entropy"]).reshape(steps[::-1])
        shown = plot.imshow(
            entropy,
            origin="lower",
            extent=(*corners[0], *corners[1]),
            aspect="auto",
            cmap="viridis",
            vmin=0,
            vmax=np.log(2),  # the entropy of two classes ends there: all six share one scale
        )
        for label, colour in enumerate(("tab:red", "tab:blue")):
            some = rows.inputs[np.flatnonzero(rows.labels == label)[:150]]
            plot.scatter(some[:, 0], some[:, 1], s=2, color=colour)
        plot.set_title(point["label"])
    figure.colorbar(shown, ax=axes, label="entropy, nats")
    figure.savefig(path, dpi=80)


def reliability(test: Mapping[str, Any], path: Path) -> None:
    """Accuracy by confidence before and after calibration, and the error among the rows with the lowest scores.

    `test` is that of `models.evaluation.measurement.measure`.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="black", linestyle=":")
    for name, label in (("reliability_uncalibrated", "T = 1"), ("reliability", "calibrated")):
        bins = test[name]
        left.plot([one["confidence"] for one in bins], [one["accuracy"] for one in bins], marker="o", label=label)
    left.set_xlabel("confidence")
    left.set_ylabel("accuracy")
    left.legend()
    for score, risks in test["risk_by_coverage"].items():
        right.plot(np.arange(1, 101), risks, label=score.replace("_", " "))
    right.set_xlabel("rows accepted, %")
    right.set_ylabel("error among them")
    right.legend()
    figure.savefig(path, dpi=80)


def price(compared: Sequence[Entry], figures: Figures, path: Path) -> None:
    """Accuracy, NLL and what mutual information (of a single network entropy) detects of classes held out of training
    against the cost of an answer, relative to the single network: a point with its deviation for each method."""
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    twins = {replace(entry, held_out=False, seeds=()): figures[entry.name] for entry in compared if entry.held_out}
    macs = np.mean([one["macs"] for one in figures[reference(compared).name]])

    def near(entry: Entry) -> list[float]:
        found = [one["ood"]["held-out classes"] for one in twins.get(replace(entry, seeds=()), ())]
        return [one["entropy" if entry.method == REFERENCE else "mutual_information"]["auroc"] for one in found]

    wanted: dict[str, Callable[[Entry], list[float]]] = {
        "accuracy": lambda entry: [one["test"]["accuracy"] for one in figures[entry.name]],
        "NLL": lambda entry: [one["test"]["nll"] for one in figures[entry.name]],
        "AUROC, held-out classes": near,
    }
    # masked networks that were merely tried would be too many
    plotted = [entry for entry in compared if entry.shown or not (entry.held_out or entry.kind.masked)]
    for plot, (title, of) in zip(figure.subplots(1, len(wanted)), wanted.items()):
        for index, entry in enumerate(plotted):
            if found := of(entry):
                cost = np.mean([one["macs"] for one in figures[entry.name]]) / macs
                plot.errorbar(
                    [cost], [np.mean(found)], [deviation(found)],
                    marker="o", capsize=4, color=f"C{index}", label=entry.label,
                )  # fmt: skip
        plot.axvline(_PRICE, color="black", linestyle=":")
        plot.set_title(title)
        plot.set_xlabel("cost relative to single")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=70)
