import json
from math import log

import numpy as np
import pytest

from models.evaluation import classifier_figures
from models.evaluation.answers import Answers, Outputs

SUBMODELS = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8]])
"""Their mean is 0.6; at a temperature of 2, where 0.8 becomes 2/3, it is 5/9."""
LABELS = np.array([0, 0, 0, 1])
FOUND: Outputs = {
    "logits": np.tile(np.log(SUBMODELS), (4, 1, 1)),
    "submodels": np.tile([[2 / 3, 1 / 3], [2 / 3, 1 / 3], [1 / 3, 2 / 3]], (4, 1, 1)),
    "probabilities": np.tile([5 / 9, 4 / 9], (4, 1)),
    "entropy": np.array([0.1, 0.2, 0.3, 0.4]),
    "mutual_information": np.array([0.4, 0.3, 0.2, 0.0]),
    "energy": np.full(4, -1.0),
}
SURE: Outputs = {**FOUND, "probabilities": np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])}
"""Less so from row to row; the last one is wrong."""


def test_what_depends_on_the_temperature_is_given_before_and_after() -> None:
    found = classifier_figures.predictive(Answers(FOUND, LABELS), 2.0)
    for suffix, top in (("_uncalibrated", 0.6), ("", 5 / 9)):
        rest = 1 - top
        assert found[f"nll{suffix}"] == pytest.approx(-(3 * log(top) + log(rest)) / 4)
        assert found[f"brier{suffix}"] == pytest.approx((3 * 2 * rest**2 + 2 * top**2) / 4)
        assert found[f"ece{suffix}"] == pytest.approx(0.75 - top, abs=1e-6)
        assert found[f"adaptive_ece{suffix}"] == pytest.approx((3 * rest + top) / 4)  # a row a bin
        assert found[f"reliability{suffix}"] == [{"confidence": pytest.approx(top), "accuracy": 0.75, "share": 1.0}]


def test_what_does_not_is_given_once_and_all_can_be_written_as_json() -> None:
    found = json.loads(json.dumps(classifier_figures.predictive(Answers(FOUND, LABELS), 2.0)))
    assert found["accuracy"] == 0.75
    assert found["disagreement"] == pytest.approx(2 / 3)
    assert (found["entropy"], found["mutual_information"]) == (pytest.approx(0.25), pytest.approx(0.225))


def test_every_score_says_in_its_own_order_which_rows_to_trust() -> None:
    found = classifier_figures.predictive(Answers(SURE, LABELS), 2.0)
    last, first = 1 / 16, (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    expected = {"entropy": last, "mutual_information": first, "energy": 0.25, "max_probability": last}
    assert found["aurc"] == pytest.approx(expected)
    risks = found["risk_by_coverage"]
    assert list(risks) == list(expected)
    for score in ("entropy", "max_probability"):
        assert risks[score] == 75 * [0.0] + 25 * [0.25]
    assert risks["mutual_information"][0] == 1


def test_corrupted_rows_have_fewer_figures() -> None:
    assert classifier_figures.corrupted(Answers(FOUND, LABELS), 2.0) == {
        "accuracy": 0.75,
        "ece_uncalibrated": pytest.approx(0.15, abs=1e-6),
        "ece": pytest.approx(0.75 - 5 / 9, abs=1e-6),
        "entropy": pytest.approx(0.25),
        "mutual_information": pytest.approx(0.225),
    }


def test_rows_of_another_kind_are_those_with_the_higher_scores() -> None:
    other: Outputs = {
        "logits": np.tile([[1.0, 0.0], [2.0, 0.0]], (3, 1, 1)),  # 1.5 at most, the others −0.7
        "submodels": np.full((3, 2, 2), 0.5),
        "probabilities": np.full((3, 2), 0.5),
        "entropy": np.full(3, 0.7),
        "mutual_information": np.full(3, -0.1),
        "energy": np.full(3, -1.0),
    }
    found = classifier_figures.detection(SURE, other)
    assert {score: figures["auroc"] for score, figures in found.items()} == {
        "entropy": 1.0, "mutual_information": 0.0, "energy": 0.5, "max_probability": 1.0, "max_logit": 0.0,
        "divergence": 0.0,
    }  # fmt: skip
    assert [found["entropy"][figure] for figure in ("aupr", "fpr95")] == [1.0, 0.0]
    assert found["mutual_information"]["fpr95"] == 1.0


def test_the_divergence_is_that_of_all_pairs_of_submodels() -> None:
    p = np.array([[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [1.0, 0.0, 0.0]]], np.float32)
    q = np.maximum(p[0].astype(np.float64), np.finfo(np.float32).tiny)
    pairs = [float((one * np.log(one / other)).sum()) for one in q for other in q]
    assert classifier_figures._divergence(p) == pytest.approx(np.mean(pairs), rel=1e-5)
    assert classifier_figures._divergence(p[:, [0, 0]]) == pytest.approx(0, abs=1e-6)
