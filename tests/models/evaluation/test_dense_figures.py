"""Against the figures of a classifier without a grid, to which every cell is a row."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from models.evaluation import dense_figures, metrics
from models.evaluation.likelihood import log_mean_probability, negative_log_likelihood
from models.evaluation.ranking import rankings

ROWS, N, K, GRID, TEMPERATURE = 40, 2, 3, (4, 6), 1.7
rng = np.random.default_rng(0)
LOGITS = (rng.normal(0, 2, (ROWS, 1, K, 1, 1)) + rng.normal(0, 1.5, (ROWS, N, K, *GRID))).astype(np.float32)
PROBABILITIES = softmax(LOGITS.astype(np.float64) / TEMPERATURE, axis=2).mean(axis=1)
PREDICTION = PROBABILITIES.argmax(axis=1)
LABELS = (np.log(PROBABILITIES) + rng.gumbel(0, rng.random((ROWS, 1, 1, 1)), PROBABILITIES.shape)).argmax(axis=1)
LABELS[rng.random(LABELS.shape) < 0.2] = -1
SCORES = ("entropy", "mutual_information", "expected_entropy", "energy")
OUTPUTS = {
    "logits": LOGITS, "prediction": PREDICTION, "row_confidence": PROBABILITIES.max(axis=1).mean(axis=(1, 2)),
    **{f"row_{name}": rng.random(ROWS) for name in SCORES},
}  # fmt: skip
WITHIN = LABELS >= 0


def figures(*parts: slice, labels: np.ndarray = LABELS) -> dict[str, object]:
    kept = [
        dense_figures.summaries({name: values[part] for name, values in OUTPUTS.items()}, labels[part], TEMPERATURE)
        for part in parts or (slice(None),)
    ]
    some = np.concatenate([np.arange(ROWS)[part] for part in parts]) if parts else np.arange(ROWS)
    scores = {name: OUTPUTS[name][some] for name in OUTPUTS if name.startswith("row_")}
    return dense_figures.figures({name: np.concatenate([one[name] for one in kept]) for name in kept[0]} | scores)


def test_figures_of_cells_are_those_of_rows_without_a_grid() -> None:
    found = figures()
    cells, truth = np.moveaxis(LOGITS, (1, 2), (3, 4))[WITHIN], LABELS[WITHIN]
    assert (found["rows"], found["cells"]) == (ROWS, WITHIN.sum())
    assert found["accuracy"] == (PREDICTION == LABELS)[WITHIN].mean()
    for name, temperature in (("", TEMPERATURE), ("_uncalibrated", 1.0)):
        p = np.exp(log_mean_probability(cells, temperature))
        assert found[f"nll{name}"] == pytest.approx(negative_log_likelihood(cells, truth, temperature))
        expected = metrics.top_calibration_error(p.max(axis=-1), p.argmax(axis=-1) == truth)
        assert found[f"ece{name}"] == pytest.approx(expected)
    alone = (cells.argmax(axis=-1) == truth[:, None]).mean(axis=0)
    assert found["submodel_accuracy"] == pytest.approx(alone.tolist())
    assert json.loads(json.dumps(found)) == found


def test_figures_of_rows_are_those_of_their_scores_and_shares() -> None:
    found = figures()
    errors = np.array([(p != y)[y >= 0].mean() for p, y in zip(PREDICTION, LABELS)])
    confidence = OUTPUTS["row_confidence"]
    bins = np.ceil(confidence * 15)
    expected = sum(abs((1 - errors - confidence)[bins == one].sum()) for one in np.unique(bins)) / ROWS
    assert found["row_ece"] == pytest.approx(expected)
    scores = {name: OUTPUTS[f"row_{name}"] for name in SCORES} | {"max_probability": 1 - confidence}
    assert found["ranking"] == rankings(scores, errors)
    assert found["ranking"]["max_probability"]["spearman"] > 0.2
    assert set(found["ranking"]) == set(dense_figures.SCORES)


def test_chunks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = figures()
    monkeypatch.setattr(dense_figures, "_AT_ONCE", 5 * N * K)
    parts = figures(slice(0, 1), slice(1, 30), slice(30, 40))
    assert parts.keys() == whole.keys()
    for name, value in whole.items():
        assert parts[name] == (value if isinstance(value, dict) else pytest.approx(value)), name


def test_rows_of_ignored_cells_count_nowhere() -> None:
    labels = LABELS.copy()
    labels[30:] = -1
    found, expected = figures(labels=labels), figures(slice(0, 30))
    assert found["rows"] == 30
    for name, value in expected.items():
        assert found[name] == (value if isinstance(value, dict) else pytest.approx(value)), name
