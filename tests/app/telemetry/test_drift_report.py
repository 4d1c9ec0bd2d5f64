import numpy as np

from app.telemetry.drift_evidence import DriftEvidence
from app.telemetry.drift_report import DriftReport

EVEN = tuple(at / 100 for at in range(101))


def test_a_version_starts_with_an_evidence_of_one() -> None:
    report = DriftReport.of(
        {("", "entropy"): DriftEvidence(EVEN, 1000, 2), ("b", "entropy"): DriftEvidence(EVEN, 1000, 2)}
    )
    assert (report.evidence, report.alarm) == (1, False)
    assert [(score.head, score.score, score.rows) for score in report.scores] == [
        ("", "entropy", 0),
        ("b", "entropy", 0),
    ]


def test_one_score_that_drifts_raises_the_alarm_and_is_named() -> None:
    entropies, informations = DriftEvidence(EVEN, 1000, 2), DriftEvidence(EVEN, 1000, 2)
    rng = np.random.default_rng(0)
    entropies.observe(rng.random(1000))
    informations.observe(np.where(rng.random(1000) < 0.3, 2.0, rng.random(1000)))
    report = DriftReport.of({("", "entropy"): entropies, ("", "mutual_information"): informations})
    assert report.alarm
    entropy, mutual_information = report.scores
    assert entropy.evidence < 1
    assert mutual_information.evidence > 200
    assert (mutual_information.side, mutual_information.percent) == ("above", 99)
    assert mutual_information.rows == 1000
