import re

import numpy as np
import pytest
from scipy.special import log_softmax

from models.evaluation.adequacy import (
    CHANCE,
    CLEAR,
    CalibrationError,
    above_chance,
    check_classes,
    check_labels,
    check_number,
    check_targets,
    correlation_above_chance,
    labels_above_chance,
)


@pytest.mark.parametrize(("rows", "warned"), [(10, True), (99, True), (100, False), (5000, False)])
def test_few_rows_are_warned_of(rows: int, warned: bool) -> None:
    found = check_number(rows)
    assert [one.startswith(f"calibrated on {rows} rows") for one in found] == [True] * warned


@pytest.mark.parametrize(("rows", "message"), [(1, "1 row cannot fit a scale"), (9, "9 rows cannot .* at least 10")])
def test_too_few_rows_are_refused(rows: int, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        check_number(rows)


def test_classes_that_never_occur_are_named() -> None:
    assert check_classes(np.array([0, 1, 2]), ("a", "b", "c")) == []
    (warning,) = check_classes(np.array([0, 2, 2]), ("cat", "dog", "cow", "hen"))
    assert "is of the class 'dog', 'hen' (2 of 4 classes)" in warning
    (warning,) = check_classes(np.array([0, 1]), tuple("abcdefghij"))
    assert "'c', 'd', 'e', 'f', 'g', … (8 of 10 classes)" in warning


def test_a_single_class_is_refused() -> None:
    with pytest.raises(CalibrationError, match="all 4 rows are of the class 'dog': give rows of all classes"):
        check_classes(np.ones(4, np.int64), ("cat", "dog"))


def test_true_values_that_are_all_the_same_are_refused() -> None:
    check_targets(np.array([[1.0, 2], [1, 3], [2, 3]]), ("price", "weight"))
    with pytest.raises(CalibrationError, match="all 3 rows have the same true value of 'weight'"):
        check_targets(np.array([[1.0, 2], [3, 2], [2, 2]]), ("price", "weight"))


def test_mean_and_variance_of_shuffled_labels_are_those_of_many_orders() -> None:
    rng = np.random.default_rng(0)
    probable = log_softmax(rng.normal(size=(30, 4)), axis=-1)
    labels = np.repeat([0, 1, 2], [20, 6, 4])  # one class does not occur
    orders = [rng.permutation(labels) for _ in range(20_000)]
    drawn = np.array([probable[np.arange(30), order].sum() for order in orders])
    for order in orders[:5]:
        expected = (probable[np.arange(30), order].sum() - drawn.mean()) / drawn.std()
        assert above_chance(probable, order) == pytest.approx(expected, abs=0.04)


def test_of_shuffled_labels_one_in_six_passes_and_weak_answers_do() -> None:
    rng = np.random.default_rng(1)
    probable = log_softmax(rng.normal(size=(200, 3)), axis=-1)
    passed = [above_chance(probable, rng.integers(0, 3, 200)) >= CHANCE for _ in range(1000)]
    assert np.mean(passed) == pytest.approx(0.16, abs=0.05)
    right = probable.argmax(axis=-1)
    weak = np.where(rng.random(200) < 0.25, right, rng.integers(0, 3, 200))  # half of them are right
    assert above_chance(probable, weak) > CLEAR


def test_answers_that_are_all_alike_say_nothing() -> None:
    assert above_chance(np.log(np.full((6, 2), 0.5)), np.array([0, 1] * 3)) == 0


def test_numbers_that_go_with_the_truth_and_that_do_not() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(400, 4))
    found = np.stack([truth[:, 0], -truth[:, 1], rng.normal(size=400), np.full(400, 5.0)], axis=1)
    above = correlation_above_chance(found, truth)
    assert above[:2] == pytest.approx([399**0.5, -(399**0.5)])
    assert abs(above[2]) < 3
    assert above[3] == 0  # always the same number


def test_every_message_says_what_would_help() -> None:
    for attempt in (
        lambda: check_number(3),
        lambda: check_classes(np.zeros(20, np.int64), ("a", "b")),
        lambda: check_targets(np.zeros((20, 1)), ("y",)),
    ):
        with pytest.raises(CalibrationError) as raised:
            attempt()
        assert re.search(r"^calibration: .*\bgive\b", str(raised.value))


def test_labels_that_never_change_are_named() -> None:
    assert check_labels(np.array([[1, 0], [0, 1]]), "ab") == []
    (warning,) = check_labels(np.array([[1, 0], [0, 0]]), "ab")
    assert warning.startswith("'b' (1 of 2 labels) are on in all rows of the calibration or in none")
    with pytest.raises(CalibrationError, match="all 2 rows have the same labels"):
        check_labels(np.array([[1, 0], [1, 0]]), "ab")


def test_a_single_label_is_as_far_above_chance_as_two_classes() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    logits = rng.normal(size=60) + labels
    log_p = log_softmax(np.stack([np.zeros(60), logits], axis=-1), axis=-1)
    found = labels_above_chance(log_p[:, 1:] - log_p[:, :1], labels[:, None])
    assert found == pytest.approx(above_chance(log_p, labels))


def test_labels_of_a_row_are_shuffled_together() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((50, 1)) < 0.4
    labels, odds = np.concatenate([truth, truth], axis=1), rng.normal(size=(50, 2))
    gained = [float((odds * labels[rng.permutation(50)]).sum()) for _ in range(20_000)]
    mean, deviation = np.mean(gained), np.std(gained)
    assert labels_above_chance(odds, labels) == pytest.approx(((odds * labels).sum() - mean) / deviation, abs=0.03)
    assert labels_above_chance(np.ones((50, 2)), labels) == 0
