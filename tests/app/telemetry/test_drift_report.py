from app.telemetry.drift_report import DriftReport, ScoreDrift


def test_the_evidence_of_a_version_is_that_of_its_scores_together() -> None:
    entropy = ScoreDrift("", "entropy", 100, 150.0, 0.2, "above", 90)
    calm = ScoreDrift("", "mutual_information", 100, 49.0, 0.1, "below", 1)
    report = DriftReport.of([entropy, calm])
    assert (report.evidence, report.alarm, report.scores) == (199, False, (entropy, calm))
    assert DriftReport.of([entropy, entropy]).alarm
