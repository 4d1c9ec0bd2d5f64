from app.contract.curves import ErrorPoint, LevelCoverage, ReliabilityBin, RiskPoint
from app.contract.head import Head
from app.contract.tasks import Evaluation
from app.contract.tasks.classification import ClassificationEvaluation
from app.contract.tasks.regression import RegressionEvaluation
from models.report.figures import charts, numbers
from tests.app.contract.calibrated import EVEN, calibrated
from tests.models.evaluation.answered import CONTRACT, REGRESSOR

CLASSES = ClassificationEvaluation(
    data="mine", rows=4, accuracy=0.75, nll=0.5, ece=0.25, ece_uncalibrated=0.5, submodel_accuracy=(0.5, 1.0),
    reliability=(
        ReliabilityBin(count=1, confidence=0.5, accuracy=0.0), ReliabilityBin(count=3, confidence=1.0, accuracy=1.0),
    ),
    risk_coverage={"entropy": (RiskPoint(coverage=0.5, risk=0.0), RiskPoint(coverage=1.0, risk=0.25))},
)  # fmt: skip
NUMBERS = RegressionEvaluation(
    data="mine", rows=4, rmse=(2.0, 3.0), coverage={"90": (0.875, 1.0)}, width={"90": (4.0, 5.0)},
    coverage_by_level=(LevelCoverage(level=0.5, coverage=(0.25, 0.75)),),
    risk_coverage={"entropy": (ErrorPoint(coverage=1.0, rmse=(2.0, 3.0)),)},
)  # fmt: skip


def evaluated(head: Head, evaluation: Evaluation) -> Head:
    return head.model_copy(update={"evaluation": evaluation, "calibration": None})


def test_a_classifier_is_drawn_by_its_bins_and_risks() -> None:
    reliability, risks = charts(evaluated(CONTRACT.head, CLASSES))
    assert reliability.bars == [(7 / 15, 8 / 15, 0.0), (14 / 15, 1.0, 1.0)]
    assert reliability.lines == [("found", [(0.5, 0.0), (1.0, 1.0)])]
    assert risks.lines == [("entropy", [(0.5, 0.0), (1.0, 0.25)])]


def test_a_regressor_is_drawn_by_target() -> None:
    *errors, levels = charts(evaluated(REGRESSOR, NUMBERS))
    assert [one.lines[0][1] for one in errors] == [[(1.0, 2.0)], [(1.0, 3.0)]]
    assert [line for _, line in levels.lines] == [[(0.5, 0.25)], [(0.5, 0.75)]]
    names = [target.name for target in REGRESSOR.targets]
    assert [name for name, _ in levels.lines] == names


def test_scores_are_drawn_by_their_quantiles() -> None:
    (chart,) = charts(calibrated(entropy=EVEN).head)
    assert chart.title == "Quantiles of entropy"
    assert chart.lines == [("entropy", list(enumerate(EVEN)))]


def test_numbers_have_names_and_four_digits() -> None:
    assert numbers(evaluated(CONTRACT.head, CLASSES)) == {
        "rows": "4", "accuracy": "0.75", "NLL": "0.5", "ECE": "0.25", "ECE uncalibrated": "0.5",
        "submodel accuracy": "0.5, 1",
    }  # fmt: skip
    told = numbers(evaluated(REGRESSOR, NUMBERS))
    assert (told["RMSE"], told["coverage"]) == ("2, 3", "90 %: 0.875, 1")


def test_an_older_evaluation_has_fewer() -> None:
    older = CLASSES.model_copy(update={"reliability": (), "risk_coverage": {}})
    assert charts(evaluated(CONTRACT.head, older)) == []
    assert charts(CONTRACT.head) == []
    assert numbers(CONTRACT.head) == {}
