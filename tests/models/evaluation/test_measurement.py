import numpy as np

from models.evaluation import classifier_figures
from models.evaluation.answers import Answers, Outputs
from models.evaluation.measurement import measure
from tests.models.evaluation.answered import CLASSES, CLASSIFIER, CONTRACT, NUMBERS, REGRESSOR, calibration

RIGHT, HALF, WRONG = (Answers(CLASSES, np.array(labels)) for labels in ((0, 1), (0, 0), (1, 0)))
DOUBTED: Outputs = {**CLASSES, "entropy": CLASSES["entropy"] + 1}


def test_corruptions_are_listed_by_kind_in_the_order_of_their_severity() -> None:
    corrupted = [("noise", 1, RIGHT), ("noise", 2, HALF), ("blur", 1, WRONG), ("blur", 2, HALF)]
    found = measure(CONTRACT, CLASSIFIER, RIGHT, {}, iter(corrupted))
    accuracies = {kind: [one["accuracy"] for one in figures] for kind, figures in found["corrupted"].items()}
    assert accuracies == {"noise": [1.0, 0.5], "blur": [0.0, 0.5]}


def test_other_rows_are_compared_with_the_test_rows_by_name() -> None:
    found = measure(CONTRACT, CLASSIFIER, RIGHT, {"same": CLASSES, "doubted": DOUBTED}, [])
    assert {name: scores["entropy"]["auroc"] for name, scores in found["ood"].items()} == {"same": 0.5, "doubted": 1.0}
    assert found["corrupted"] == {}


def test_the_figures_are_at_the_temperature_of_the_contract() -> None:
    logits = np.array([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 4.0]]])
    answers = Answers({**CLASSES, "logits": logits}, np.array([0, 1]))
    warm = CLASSIFIER.model_copy(update={"calibration": calibration().model_copy(update={"temperature": 2.0})})
    found = measure(CONTRACT, warm, answers, {}, [("noise", 1, answers)])
    assert found["temperature"] == 2
    assert found["test"] == classifier_figures.predictive(answers, 2.0)
    assert found["test"]["nll"] != found["test"]["nll_uncalibrated"]
    assert found["corrupted"]["noise"] == [classifier_figures.corrupted(answers, 2.0)]
    assert (found["method"], found["num_submodels"]) == ("masksembles", 2)


def test_a_task_without_such_figures_leaves_them_empty() -> None:
    answers = Answers(NUMBERS, NUMBERS["prediction"])
    found = measure(CONTRACT, REGRESSOR, answers, {"other": NUMBERS}, [("noise", 1, answers), ("noise", 2, answers)])
    assert (found["test"], found["corrupted"], found["ood"]) == ({}, {"noise": [{}, {}]}, {"other": {}})
