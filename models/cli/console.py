"""How figures are printed."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from app.contract.calibration import Calibration
from app.contract.schema import Contract
from app.contract.tasks.classification import ClassificationEvaluation
from app.contract.tasks.regression import RegressionEvaluation

if TYPE_CHECKING:
    from models.evaluation.policy_outcome import PolicyOutcome


def fitted(calibration: Calibration) -> str:
    """What a calibration did."""
    if calibration.nll_before is None or calibration.nll_after is None:
        return "no variance is predicted, so no temperature is fitted"
    return (
        f"temperature {calibration.temperature:.4f}, NLL {calibration.nll_before:.4f} at temperature 1, "
        f"{calibration.nll_after:.4f} now"
    )


def show(figures: ClassificationEvaluation | RegressionEvaluation) -> None:
    """What a contract holds of it."""
    if isinstance(figures, ClassificationEvaluation):
        print(
            f"{figures.data}, {figures.rows} test rows: accuracy {figures.accuracy:.4f}, NLL {figures.nll:.4f}, "
            f"ECE {figures.ece:.4f} (uncalibrated {figures.ece_uncalibrated:.4f}); "
            f"submodels alone {each(figures.submodel_accuracy)}"
        )
        return
    nll = "" if figures.nll is None else f", NLL {figures.nll:.4f}"
    print(f"{figures.data}, {figures.rows} test rows: RMSE {each(figures.rmse)}{nll}")
    for percent, shares in figures.coverage.items():
        print(f"{percent} % intervals: hold {each(shares)} of the true values, {each(figures.width[percent])} wide")


def show_outcome(found: "PolicyOutcome", contract: Contract) -> None:
    """What a policy and prediction sets came to."""
    accepted = found.accepted()
    if contract.policy:
        name, root = ("error", 1.0) if contract.task == "classification" else ("RMSE", 0.5)
        among = each(found.errors[accepted].mean(axis=0) ** root) if accepted.any() else "none"
        print(
            f"policy: {100 * found.share('accept'):.1f} % accepted, {100 * found.share('defer'):.1f} % deferred, "
            f"{100 * found.share('reject'):.1f} % rejected; {name} {among} among the accepted, "
            f"{each(found.errors.mean(axis=0) ** root)} overall"
        )
    for coverage, (held, size) in found.sets.items():
        print(
            f"{100 * coverage:g} % prediction sets: hold {held.mean():.4f} of the true classes, "
            f"{size.mean():.2f} large on average"
        )


def show_measured(report: Mapping[str, Any]) -> None:
    """What `models.benchmark.measurement` found, in short."""
    test = report["test"]
    disagreement = "" if test["disagreement"] is None else f", disagreement {test['disagreement']:.4f}"
    print(
        f"Brier {test['brier']:.4f}, adaptive ECE {test['adaptive_ece']:.4f} "
        f"(uncalibrated {test['adaptive_ece_uncalibrated']:.4f}), AURC {test['aurc']['entropy']:.4f}{disagreement}"
    )
    for kind, scores in report["strange"].items():
        told = ", ".join(f"{score} {found['auroc']:.3f}/{found['fpr95']:.3f}" for score, found in scores.items())
        print(f"{kind} told from test rows, AUROC/FPR95: {told}")


def each(values: Iterable[float]) -> str:
    """Numbers with four decimals."""
    return " ".join(f"{value:.4f}" for value in values)
