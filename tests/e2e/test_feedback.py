"""Truths come back to the program as a user starts it: 2,000 rows, in disorder, with repeats and forgeries.

What `/models/{name}/quality` and `/metrics` then say is what NumPy finds in the answers themselves.
"""

import random
import re
from typing import Any

import httpx
import numpy as np
import pytest

from tests.pictures import pictures
from tests.serving import ROOT, SHIPPED, VERSIONS, as_process

ROWS, BATCH = 2000, 250
OUTPUTS = ["prediction", "probabilities", "prediction_set", "decision", "receipt"]
SETTINGS = {**SHIPPED, "MASKSEMBLES_FEEDBACK_SECRET": "a secret of 32 characters or more"}


def ask(client: httpx.Client, inputs: Any, coverage: float) -> list[dict[str, Any]]:
    body = {"model": "fashion-mnist", "inputs": inputs.tolist(), "outputs": OUTPUTS, "coverage": coverage}
    found: list[dict[str, Any]] = client.post("/predict", json=body).raise_for_status().json()["predictions"]
    return found


def send(client: httpx.Client, given: list[dict[str, Any]]) -> httpx.Response:
    return client.post("/feedback", json={"feedback": given})


def counter(text: str, name: str, **labels: str) -> float:
    """The sum of a counter's samples with these labels, as Prometheus would add them up."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = re.findall(rf"^masksembles_feedback_{name}_total\{{(.*)\}} (\S+)$", text, re.MULTILINE)
    return sum(float(value) for of, value in found if all(one in of for one in wanted))


def test_the_quality_is_that_of_the_answers() -> None:
    split, rng = pictures(), random.Random(0)
    # four times the 500 pictures, each time moved by three pixels more
    inputs = np.concatenate([np.roll(split.inputs, 3 * by, axis=3) for by in range(ROWS // 500)])
    truths = np.tile(split.labels, ROWS // 500)
    with as_process(ROOT / "models" / "repository", **SETTINGS) as (client, _):
        answers = [row for at in range(0, ROWS, BATCH) for row in ask(client, inputs[at : at + BATCH], 0.9)]
        given = [{"receipt": row["receipt"], "truth": int(truth)} for row, truth in zip(answers, truths)]
        repeats = rng.sample(given, 300)
        everything = given + repeats
        rng.shuffle(everything)
        counted = repeated = 0
        for at in range(0, len(everything), 500):
            batch = everything[at : at + 500]
            forged = {**batch[7], "receipt": _with_another_letter(batch[7]["receipt"], rng)}
            refused = send(client, [*batch, forged])
            assert refused.status_code == 422
            assert refused.json()["error"]["field"] == f"feedback[{len(batch)}].receipt"
            answer = send(client, batch).raise_for_status().json()
            counted, repeated = counted + answer["counted"], repeated + answer["repeated"]
        labels = client.get("/models/fashion-mnist").json()["heads"][0]["labels"]
        quality = client.get("/models/fashion-mnist/quality").raise_for_status().json()
        metrics = client.get("/metrics").text
    assert (counted, repeated) == (ROWS, len(repeats))
    (version,) = quality["versions"]
    (head,) = version["heads"]
    assert (version["version"], head["rows"], head["repeated"]) == (
        VERSIONS["fashion-mnist"],
        ROWS,
        len(repeats),
    )

    p = np.array([row["probabilities"] for row in answers])
    y = np.eye(10)[truths]
    right = p.argmax(axis=1) == truths
    brier, nll = ((p - y) ** 2).sum(axis=1), -np.log(p[np.arange(ROWS), truths])
    assert head["accuracy"]["value"] == right.mean()
    assert head["accuracy"]["lower"] < right.mean() < head["accuracy"]["upper"]
    assert head["losses"]["brier"]["value"] == pytest.approx(brier.mean(), rel=1e-6)
    assert head["losses"]["nll"]["value"] == pytest.approx(nll.mean(), rel=1e-5)
    assert counter(metrics, "loss", loss="brier") == pytest.approx(brier.sum(), rel=1e-6)
    assert counter(metrics, "loss_squares", loss="brier") == pytest.approx((brier**2).sum(), rel=1e-6)
    assert counter(metrics, "rows") == ROWS
    assert counter(metrics, "wrong") == ROWS - right.sum()
    assert counter(metrics, "repeats") == len(repeats)

    confidence = p.max(axis=1)
    bins = np.minimum((confidence * 10).astype(int), 9)
    error = 0.0
    for at, one in enumerate(head["reliability"]):
        inside = bins == at
        assert one["hits"]["rows"] == inside.sum()
        assert counter(metrics, "bin_hits", bin=f"{(at + 1) / 10:g}") == right[inside].sum()
        error += abs(confidence[inside].sum() - right[inside].sum()) / ROWS
    assert head["calibration_error"] == pytest.approx(error, rel=1e-5)

    actions = np.array([row["decision"]["action"] for row in answers])
    for one in head["decisions"]:
        inside = actions == one["action"]
        assert one["share"]["value"] == inside.mean()
        assert one["wrong"]["value"] == (~right[inside]).mean()
        assert counter(metrics, "rows", action=one["action"]) == inside.sum()
    outside = sum(labels[truth] not in row["prediction_set"]["labels"] for row, truth in zip(answers, truths))
    promised = {one["promise"]: one for one in head["promises"]}
    assert promised["prediction set 0.9"]["failed"]["value"] == outside / ROWS
    assert counter(metrics, "promise_failures", promise="prediction set 0.9") == outside
    risk = promised["risk 0.05 entropy"]
    assert risk["failed"]["rows"] >= (actions == "accept").sum()  # rows within may be rejected by another rule
    # the pictures that were moved are not what the model was calibrated on, and it shows
    assert risk["verdict"] == "broken"
    assert risk["certainty"] >= 0.95
    assert version["drift"]["alarm"]
    assert [score["rows"] for score in version["drift"]["scores"]] == [ROWS, ROWS]
    evidence = re.findall(r"^masksembles_drift_evidence\{.*\} (\S+)$", metrics, re.MULTILINE)
    assert version["drift"]["evidence"] == pytest.approx(sum(map(float, evidence)))


def _with_another_letter(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) - 1)  # the last letter has bits to spare
    other = rng.choice([letter for letter in "ABCDEFGH" if letter != text[at]])
    return text[:at] + other + text[at + 1 :]
