from math import log

import numpy as np
import pytest

from models.evaluation import multilabel_figures
from models.evaluation.answers import Answers
from models.evaluation.likelihood import binary_cross_entropy
from tests import graphs

HEAD = graphs.multilabel()[1].head
SUBMODELS = np.array([[[0.9, 0.2, 0.6], [0.7, 0.4, 0.6]], [[0.2, 0.2, 0.6], [0.4, 0.6, 0.8]]])
"""[B, N, K]"""
MEAN = SUBMODELS.mean(axis=1)  # 0.8 0.3 0.6, and 0.3 0.4 0.7
ANSWERS = Answers(
    {
        "logits": np.log(SUBMODELS / (1 - SUBMODELS)), "submodels": SUBMODELS, "probabilities": MEAN,
        "prediction": (MEAN > 0.5).astype(np.int64), "entropy": np.array([[0.5, 0.6, 0.7], [0.6, 0.6, 0.6]]),
        "expected_entropy": np.full((2, 3), 0.5), "mutual_information": np.array([[0, 0.1, 0.2], [0.1, 0.1, 0.1]]),
    },
    np.array([[True, False, True], [False, True, True]]),
)  # fmt: skip
TRUE = np.array([0.8, 0.7, 0.6, 0.7, 0.4, 0.7])
"""The probability of what is true."""


def test_figures_of_a_contract() -> None:
    found = multilabel_figures.reached(HEAD, "mine", ANSWERS)
    assert (found.data, found.rows, found.exact_match) == ("mine", 2, 0.5)
    assert found.micro_f1 == pytest.approx(6 / 7)  # 3 right of 3 that are on, 1 of 4 missed
    assert found.macro_f1 == pytest.approx(2 / 3)  # 1, 0 and 1
    assert found.nll == pytest.approx(-np.log(TRUE).mean())
    assert found.brier == pytest.approx(np.square(1 - TRUE).mean())
    assert found.ece == pytest.approx((0.25 + 0.45 + 0.35) / 3)
    assert found.submodel_exact_match == (0.5, 0.5 * 2)
    bins = [(one.count, one.confidence, one.accuracy) for one in found.reliability]
    assert bins == [(2, 0.3, 0.0), (1, 0.4, 1.0), (1, 0.6, 1.0), (1, 0.7, 1.0), (1, 0.8, 1.0)]
    assert [(one.coverage, one.risk) for one in found.risk_coverage["entropy"]] == [(0.5, 0.5), (1.0, 0.5)]  # a tie


def test_every_label_has_figures_of_its_own() -> None:
    found = multilabel_figures.predictive(HEAD, ANSWERS)
    red, round_, ripe = found["labels"]
    assert (red["label"], red["share"], red["f1"], red["auroc"], red["average_precision"]) == ("red", 0.5, 1, 1, 1)
    assert (round_["f1"], round_["auroc"]) == (0, 1)
    assert (ripe["share"], ripe["auroc"], ripe["average_precision"]) == (1, None, None)  # it is always on
    assert found["mean_average_precision"] == 1
    assert found["aurc"]["entropy"] == 0.5  # both rows are as uncertain in the mean, and one is wrong
    assert found["entropy"] == pytest.approx(0.6)
    assert sum(one["share"] for one in found["reliability"]) == pytest.approx(1)
    assert multilabel_figures.describe_label(ripe) == (
        "ripe: on in 100.0 % of the rows, F1 1.0000, AUROC –, average precision –, ECE 0.3500 (uncalibrated 0.3500)"
    )


def test_the_temperature_counts() -> None:
    warm = HEAD.model_copy(update={"calibration": None})
    hot = binary_cross_entropy(ANSWERS.outputs["logits"], ANSWERS.labels, 1e6)
    assert hot == pytest.approx(log(2), abs=1e-5)
    reached = multilabel_figures.reached(warm, "", ANSWERS)
    assert multilabel_figures.corrupted(warm, ANSWERS)["ece"] == pytest.approx(reached.ece)


def test_scores_of_rows_detect_what_is_strange() -> None:
    strange = {**ANSWERS.outputs, "entropy": np.full((5, 3), 0.65), "mutual_information": np.zeros((5, 3))}
    strange["expected_entropy"] = np.full((5, 3), 0.5)
    found = multilabel_figures.detection(ANSWERS.outputs, strange)
    assert found["entropy"]["auroc"] == 1
    assert found["mutual_information"]["auroc"] == 0
