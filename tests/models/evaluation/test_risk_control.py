"""Against brute force on small rows, and against many fresh draws: how much of a new row is held."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.evaluation.risk_control import (
    LossCurves,
    class_losses,
    join,
    label_losses,
    label_sets,
    risk_controlled_intervals,
    risk_controlled_sets,
    value_losses,
)

Floats = NDArray[np.float64]

CELLS, CLASSES = 12, 4


def maps(rng: np.random.Generator, rows: int) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities [rows, K, 3, 4] and labels of cells that are alike within a row, on a model that is far too sure;
    of every row some cells are ignored."""
    mean = rng.normal(0, 1.5, (rows, CLASSES, 1, 1))
    logits = mean + rng.normal(0, 0.7, (rows, CLASSES, 3, 4))
    labels = (logits + rng.gumbel(0, 1, (rows, CLASSES, 1, 1)) + rng.gumbel(0, 0.3, logits.shape)).argmax(axis=1)
    labels[rng.random(labels.shape) < rng.random((rows, 1, 1)) ** 2] = -1
    sharp = np.exp(2.5 * logits)
    return sharp / sharp.sum(axis=1, keepdims=True), labels


def missed(probabilities: Floats, labels: NDArray[np.int64], least: float) -> Floats:
    """The share of each row's cells whose set does not hold the true class, cell by cell."""
    shares = []
    for p, y in zip(probabilities, labels):
        cells = [place for place in np.ndindex(y.shape) if y[place] >= 0]
        sets = [{int(p[:, *place].argmax())} | set(np.flatnonzero(p[:, *place] >= least).tolist()) for place in cells]
        lost = [int(y[place]) not in held for place, held in zip(cells, sets)]
        shares.append(float(np.mean(lost)) if lost else 0.0)
    return np.array(shares)


@pytest.mark.parametrize("rows", [30, 300])
def test_sets_of_labels_hold_as_many_true_ones_as_guaranteed(rows: int) -> None:
    """Labels of a row are copies of each other as often as not, which leaves the guarantee as it is."""
    rng = np.random.default_rng(0)
    held = {0.8: [], 0.95: []}  # type: dict[float, list[float]]
    for _ in range(1500):
        p = rng.random((rows + 1, 4))
        truth = rng.random(p.shape) < p**2  # the model is far too sure
        alike = rng.random(rows + 1) < 0.5
        truth[alike] = truth[alike, :1]
        sets = {one.coverage: one for one in label_sets(p[:rows], truth[:rows], tuple(held))}
        assert set(sets) == ({0.8, 0.95} if rows > 18 else {0.8})
        for coverage, one in sets.items():
            inside = p[rows] >= one.least_probability - 1e-6
            count = truth[rows].sum()
            held[coverage].append(float((truth[rows] & inside).sum() / count) if count else 1.0)
    for coverage, shares in held.items():
        error = np.std(shares) / len(shares) ** 0.5
        assert coverage - 3 * error <= np.mean(shares) <= coverage + 2 / rows + 3 * error


def test_sets_of_labels_are_the_smallest_that_conformal_risk_control_allows() -> None:
    p = np.arange(1, 21)[:, None] / 20
    truth = np.ones((20, 1), bool)
    # α = 0.2: (missed + 1) / 21 ≤ 0.2 for 3 rows, which are those of 0.05, 0.1 and 0.15
    (one,) = label_sets(p, truth, (0.8,))
    assert (one.coverage, one.least_probability, one.rows) == (0.8, 0.2, 20)
    assert label_sets(p, truth, (0.96,)) == ()  # (0 + 1) / 21 is more than 0.04
    assert label_sets(p, ~truth, (0.8,))[0].least_probability == 1  # there is nothing to miss
    # a row of three labels loses a third with each: 9 thirds are 3 rows, exactly
    thirds = np.arange(1, 61).reshape(20, 3) / 60
    (one,) = label_sets(thirds, np.ones((20, 3), bool), (0.8,))
    assert one.least_probability == pytest.approx(10 / 60)
    assert one.least_probability <= 10 / 60


def test_sets_of_cells_hold_as_many_true_classes_as_guaranteed() -> None:
    rng = np.random.default_rng(0)
    held = {0.8: [], 0.95: []}  # type: dict[float, list[float]]
    for _ in range(1000):
        p, labels = maps(rng, 61)
        for one in risk_controlled_sets(class_losses(p[:60], labels[:60]), tuple(held)):
            held[one.coverage].append(1 - float(missed(p[60:], labels[60:], one.least_probability)[0]))
    for coverage, shares in held.items():
        error = np.std(shares) / len(shares) ** 0.5
        # that is the most by which they exceed it where losses hardly jump
        assert coverage - 3 * error <= np.mean(shares) <= coverage + 2 / 60 + 3 * error


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 25), coverage=st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_sets_of_cells_are_the_smallest_that_conformal_risk_control_allows(
    seed: int, rows: int, coverage: float
) -> None:
    """Of the limits at which a loss changes: the highest that is within the risk, and the next is beyond it."""
    p, labels = maps(np.random.default_rng(seed), rows)
    p = p.round(2)  # with ties
    found = risk_controlled_sets(class_losses(p, labels), (coverage,))

    def allowed(least: float) -> bool:
        return missed(p, labels, least).sum() + 1 <= (rows + 1) * (1 - coverage) + 1e-9

    limits = [limit for limit in np.unique(p) if allowed(limit)]
    if not allowed(0.0):
        assert found == ()
    else:
        expected = 1.0 if allowed(1.0) else max(limits)
        assert found[0].least_probability == pytest.approx(expected, abs=1e-6)
        assert found[0].least_probability <= expected


def test_the_most_probable_class_is_never_missed() -> None:
    p = np.tile(np.array([0.4, 0.3, 0.3])[None, :, None], (20, 1, 5))
    assert len(class_losses(p, np.zeros((20, 5), np.int64)).values) == 0
    (one,) = risk_controlled_sets(class_losses(p, np.zeros((20, 5), np.int64)), (0.9,))
    assert one.least_probability == 1


def test_ignored_cells_are_none() -> None:
    p, labels = maps(np.random.default_rng(0), 50)
    losses = class_losses(p, labels)
    assert losses.items.tolist() == (labels >= 0).sum(axis=(1, 2)).tolist()
    other = p.copy()
    other[np.broadcast_to(labels[:, None] < 0, p.shape)] = 0.123
    np.testing.assert_array_equal(class_losses(other, labels).values, losses.values)
    # a row without a cell counts as one that loses nothing
    labels[0] = -1
    assert class_losses(p, labels).items[0] == 0
    assert risk_controlled_sets(class_losses(p, labels), (0.9,))[0].rows == 50


@pytest.mark.parametrize("sizes", [(12, 12, 12), (12, 5, 1)])
def test_parts_make_a_whole_whatever_the_size_of_their_grids(sizes: tuple[int, ...]) -> None:
    p, labels = maps(np.random.default_rng(1), 60)
    p, labels = p.reshape(60, CLASSES, -1), labels.reshape(60, -1)
    ignored = labels.copy()
    for part, size in enumerate(sizes):
        ignored[20 * part : 20 * part + 20, size:] = -1
    chunks = [slice(20 * part, 20 * part + 20) for part in range(3)]
    parts = [class_losses(p[rows][..., :size], labels[rows][..., :size]) for rows, size in zip(chunks, sizes)]
    assert risk_controlled_sets(join(parts)) == risk_controlled_sets(class_losses(p, ignored))


def test_rows_of_many_different_sizes_are_rounded_to_the_safe_side() -> None:
    """The least common multiple of 1 to 200 has 90 digits; shares that are rounded up may hold one item more."""
    rng = np.random.default_rng(0)
    items = np.arange(1, 201)
    rows = np.arange(200).repeat(items)
    values = rng.permutation(len(rows)) / len(rows)
    exact = [Fraction(0)]
    for row in rows[np.argsort(values)]:
        exact.append(exact[-1] + Fraction(1, int(items[row])))
    for coverage in (0.5, 0.9, 0.95):
        most = (1 - Fraction(str(coverage))) * 201 - 1
        expected = sum(one <= most for one in exact) - 1
        (one,) = risk_controlled_sets(LossCurves(items, rows, values), (coverage,))
        assert expected - 1 <= round(one.least_probability * len(rows)) <= expected


def test_pairs_of_cell_and_label_are_the_items_of_a_multilabel_row() -> None:
    rng = np.random.default_rng(0)
    p, truth = rng.random((40, 3, 2, 5)), rng.random((40, 3, 2, 5)) < 0.3
    flat = label_sets(p.reshape(40, -1), truth.reshape(40, -1), (0.8, 0.9))
    assert label_sets(p, truth, (0.8, 0.9)) == flat
    assert (
        risk_controlled_sets(join([label_losses(p[:7], truth[:7]), label_losses(p[7:], truth[7:])]), (0.8, 0.9)) == flat
    )
    for one in flat:
        lost = (truth & (p < one.least_probability)).sum(axis=(1, 2, 3)) / np.maximum(truth.sum(axis=(1, 2, 3)), 1)
        assert lost.sum() + 1 <= 41 * (1 - one.coverage) + 1e-9


def regression(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats, Floats]:
    """Truth, prediction and variance [rows, 2, 6]: heavy tails, and a scale of errors that the row's cells share."""
    scale = rng.gamma(1.0, 1.0, (rows, 2, 1)) * np.array([1, 10])[:, None]
    variance = rng.gamma(2.0, 1.0, (rows, 2, 6))
    return scale * np.sqrt(variance) * rng.standard_t(3, (rows, 2, 6)), np.zeros((rows, 2, 6)), variance


def test_intervals_hold_as_many_cells_as_guaranteed() -> None:
    rng = np.random.default_rng(0)
    held = {0.5: [], 0.9: []}  # type: dict[float, list[Floats]]
    for _ in range(1000):
        truth, prediction, variance = regression(rng, 51)
        for one in risk_controlled_intervals(value_losses(truth[:50], prediction[:50], variance[:50]), tuple(held)):
            assert one.rows == 50
            reach = np.array(one.factors)[:, None] * np.sqrt(variance[50])
            held[one.coverage].append((np.abs(truth[50] - prediction[50]) <= reach).mean(axis=-1))
    for coverage, shares in held.items():
        assert len(shares) == 1000
        error = np.std(shares, axis=0) / len(shares) ** 0.5
        assert (coverage - 3 * error <= np.mean(shares, axis=0)).all()
        assert (np.mean(shares, axis=0) <= coverage + 2 / 50 + 3 * error).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40), coverage=st.sampled_from([0.5, 0.8, 0.9]))
def test_intervals_are_the_narrowest_that_conformal_risk_control_allows(seed: int, rows: int, coverage: float) -> None:
    truth, prediction, variance = regression(np.random.default_rng(seed), rows)
    found = risk_controlled_intervals(value_losses(truth, prediction, variance), (coverage,))
    scores = np.abs(truth - prediction) / np.sqrt(variance)
    allowed = (rows + 1) * (1 - coverage) - 1
    assert bool(found) == (allowed > -1e-9)
    for target, factor in enumerate(found[0].factors if found else ()):
        assert (scores[:, target] > factor).mean(axis=-1).sum() <= allowed + 1e-9
        assert (scores[:, target] > factor * (1 - 1e-5)).mean(axis=-1).sum() > allowed - 1e-9


def test_intervals_without_a_variance_are_left_out_unless_the_prediction_is_exact() -> None:
    truth = np.ones((20, 1, 2))
    assert risk_controlled_intervals(value_losses(truth, np.zeros_like(truth), np.zeros_like(truth)), (0.8,)) == ()
    (one,) = risk_controlled_intervals(value_losses(truth, truth, np.zeros_like(truth)), (0.8,))
    assert one.factors == (0.0,)
    few = np.zeros_like(truth)
    few[:3] = 1  # the errors of 3 rows of 20 may be infinite: (3 + 1) / 21 ≤ 0.2
    (one,) = risk_controlled_intervals(value_losses(few, np.zeros_like(few), np.zeros_like(few)), (0.8,))
    assert one.factors == (0.0,)


def test_what_is_not_a_number_is_refused() -> None:
    p, labels = maps(np.random.default_rng(0), 20)
    with pytest.raises(ValueError, match="not a number"):
        risk_controlled_sets(class_losses(p * np.nan, np.where(labels < 0, -1, 3)))
    with pytest.raises(ValueError, match="coverages: expected different numbers between 0 and 1"):
        risk_controlled_sets(class_losses(p, labels), (0.9, 1.0))
