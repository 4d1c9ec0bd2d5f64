import math

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.tasks import classification, regression
from app.telemetry.drift import monitored_outputs, reference_counts, reference_deciles
from app.telemetry.metrics import Telemetry
from tests import graphs
from tests.app.contract.calibrated import EVEN, calibrated
from tests.app.engine.fakes import CONTRACT
from tests.app.telemetry.test_metrics import samples, value


def test_the_edges_are_the_reference_deciles() -> None:
    assert reference_deciles(calibrated(entropy=EVEN).head, "entropy").tolist() == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    )


def test_equal_deciles_are_one_edge() -> None:
    table = [0.0] * 50 + [1.0] * 30 + [2.0] * 21
    assert reference_deciles(calibrated(entropy=table).head, "entropy").tolist() == [0.0, 1.0, 2.0]


def test_the_calibration_rows_have_a_histogram_with_the_same_edges() -> None:
    contract = calibrated(entropy=EVEN)
    rows = contract.head.calibration.rows
    telemetry = Telemetry()
    telemetry.series("one", 1, contract).computed(1, 0.1, {"entropy": np.ones(1)})
    found = {
        dict(labels)["le"]: count
        for (name, labels), count in samples(telemetry).items()
        if name == "masksembles_entropy_calibration_nats_bucket"
    }
    served = {dict(labels)["le"] for name, labels in samples(telemetry) if name == "masksembles_entropy_nats_bucket"}
    assert found.keys() == served
    expected = [*(round(tenth * rows / 10) for tenth in range(1, 10)), rows]
    assert sorted(found.values()) == expected
    assert found["+Inf"] == rows


def test_rows_of_equal_scores_are_counted_at_their_common_edge() -> None:
    head = calibrated(entropy=[0.0] * 50 + [1.0] * 30 + [2.0] * 21).head
    assert head.calibration is not None
    counts = reference_counts(head.calibration, "entropy", reference_deciles(head, "entropy"))
    assert counts.tolist() == [490, 790, 1000, 1000]


def test_there_are_none_without_a_calibration_or_for_a_score_that_is_constant() -> None:
    assert reference_deciles(CONTRACT.head, "entropy").size == 0
    assert reference_deciles(calibrated(entropy=EVEN).head, "mutual_information").size == 0
    contract = calibrated(entropy=EVEN, mutual_information=[0.0] * 101)
    assert reference_deciles(contract.head, "mutual_information").size == 0
    telemetry = Telemetry()
    telemetry.series("one", 1, contract).computed(1, 0.1, {"entropy": np.ones(1), "mutual_information": np.zeros(1)})
    names = {name for name, _ in samples(telemetry)}
    assert "masksembles_entropy_nats_bucket" in names
    assert "masksembles_mutual_information_nats_bucket" not in names


def test_what_a_model_has_not_is_not_monitored() -> None:
    contract = calibrated(entropy=EVEN)
    contract = contract.with_head(contract.head, task="regression", outputs=regression.outputs(False))
    assert monitored_outputs(contract) == ()
    Telemetry().series("one", 1, contract).computed(1, 0.1, {"prediction": np.ones(1)})


def test_scores_fall_into_the_buckets_of_their_own_version() -> None:
    telemetry = Telemetry()
    rng = np.random.default_rng(0)
    first = telemetry.series("one", 1, calibrated(entropy=EVEN))
    second = telemetry.series("one", 2, calibrated(entropy=[2 * at for at in EVEN]))
    drawn = rng.random(1000)
    for part in np.split(drawn, 10):
        first.computed(100, 0.1, {"entropy": part})
        second.computed(100, 0.1, {"entropy": part})
    for version, edge in (("1", 0.3), ("2", 0.6)):
        found = value(telemetry, "masksembles_entropy_nats_bucket", model="one", version=version, head="", le=str(edge))
        assert found == (drawn <= edge).sum()
    assert value(telemetry, "masksembles_entropy_nats_bucket", model="one", version="1", head="", le="+Inf") == 1000
    assert value(telemetry, "masksembles_entropy_nats_count", model="one", version="1", head="") == 1000
    total = value(telemetry, "masksembles_entropy_nats_sum", model="one", version="1", head="")
    assert total == pytest.approx(drawn.sum())


def test_a_row_of_several_labels_is_counted_once_by_its_mean() -> None:
    telemetry = Telemetry()
    contract = graphs.multilabel()[1]
    contract = contract.with_head(contract.head, calibration=calibrated(entropy=EVEN).head.calibration)
    series = telemetry.series("one", 1, contract)
    series.computed(2, 0.1, {"entropy": np.array([[0.1, 0.2, 0.3], [0.9, 0.9, 0.6]], np.float32)})
    assert value(telemetry, "masksembles_entropy_nats_count", model="one", version="1", head="") == 2
    total = value(telemetry, "masksembles_entropy_nats_sum", model="one", version="1", head="")
    assert total == pytest.approx(1.0)


def test_each_head_has_its_own_and_a_dense_one_that_of_its_rows() -> None:
    telemetry = Telemetry()
    contract = calibrated(entropy=EVEN)
    steering = contract.head.model_copy(update={"name": "steering"})
    road = contract.head.model_copy(update={"name": "road", "grid": (2, 2), "outputs": classification.outputs((2, 2))})
    both = contract.model_copy(update={"heads": (steering, road)})
    assert monitored_outputs(both) == (
        "steering.entropy", "steering.mutual_information", "road.row_entropy", "road.row_mutual_information",
    )  # fmt: skip
    found = {"steering.entropy": np.array([0.25, 0.5]), "road.row_entropy": np.array([1.5, 2.0])}
    telemetry.series("one", 1, both).computed(2, 0.1, found)
    for head, total in (("steering", 0.75), ("road", 3.5)):
        assert value(telemetry, "masksembles_entropy_nats_sum", model="one", version="1", head=head) == total


def test_a_value_on_an_edge_belongs_below_it_and_nan_nowhere() -> None:
    telemetry = Telemetry()
    series = telemetry.series("one", 1, calibrated(entropy=EVEN))
    series.computed(3, 0.1, {"entropy": np.array([0.5, math.nan, math.inf])})
    assert value(telemetry, "masksembles_entropy_nats_bucket", model="one", version="1", head="", le="0.4") == 0
    assert value(telemetry, "masksembles_entropy_nats_bucket", model="one", version="1", head="", le="0.5") == 1
    assert value(telemetry, "masksembles_entropy_nats_count", model="one", version="1", head="") == 1


def drifting(rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    return {"entropy": rng.random(100) ** 0.5, "mutual_information": rng.random(100)}


def test_a_drift_raises_the_alarm_of_its_version_and_names_the_score() -> None:
    telemetry, rng = Telemetry(), np.random.default_rng(0)
    contract = calibrated(entropy=EVEN, mutual_information=EVEN)
    series = telemetry.series("one", 1, contract)
    assert value(telemetry, "masksembles_drift_alarm", model="one", version="1") == 0
    for _ in range(20):
        series.computed(100, 0.1, drifting(rng))
    assert value(telemetry, "masksembles_drift_alarm", model="one", version="1") == 1
    labels = {"model": "one", "version": "1", "head": ""}
    assert value(telemetry, "masksembles_drift_evidence", score="entropy", **labels) >= 200
    assert value(telemetry, "masksembles_drift_evidence", score="mutual_information", **labels) < 1
    report = telemetry.drift_reports("one")[1]
    assert report.alarm
    entropy, mutual_information = report.scores
    assert (entropy.score, entropy.rows, entropy.side) == ("entropy", 2000, "above")
    assert entropy.evidence >= 200 > 1 > mutual_information.evidence
    assert entropy.distance is not None
    assert mutual_information.distance is not None
    assert entropy.distance > 0.2 > 0.05 > mutual_information.distance  # √u lies 1/4 from u at the most


def test_the_distance_is_the_largest_difference_of_shares_at_a_decile() -> None:
    telemetry = Telemetry()
    series = telemetry.series("one", 1, calibrated(entropy=EVEN))
    (score,) = telemetry.drift_reports("one")[1].scores
    assert (score.rows, score.distance, score.evidence) == (0, None, 1)
    series.computed(4, 0.1, {"entropy": np.array([0.05, 0.25, 0.45, 0.55])})
    (score,) = telemetry.drift_reports("one")[1].scores
    assert score.rows == 4
    assert score.distance == pytest.approx(0.4)  # all four lie at or below the sixth decile
    series.computed(4, 0.1, {"entropy": np.full(4, 2.0)})
    (score,) = telemetry.drift_reports("one")[1].scores
    assert score.distance == pytest.approx(0.4)  # half of them at or below the ninth


def test_a_new_version_starts_anew_and_one_without_calibration_is_not_tested() -> None:
    telemetry, rng = Telemetry(), np.random.default_rng(0)
    first = telemetry.series("one", 1, calibrated(entropy=EVEN, mutual_information=EVEN))
    for _ in range(20):
        first.computed(100, 0.1, drifting(rng))
    telemetry.series("one", 2, calibrated(entropy=EVEN, mutual_information=EVEN))
    telemetry.series("one", 3, CONTRACT)
    telemetry.series("two", 1, calibrated(entropy=EVEN))
    reports = telemetry.drift_reports("one")
    assert {version: report.alarm for version, report in reports.items()} == {1: True, 2: False}
    assert reports[2].evidence == 1
    assert value(telemetry, "masksembles_drift_alarm", model="one", version="2") == 0
    assert ("masksembles_drift_alarm", frozenset({("model", "one"), ("version", "3")})) not in samples(telemetry)


def test_the_evidence_of_an_old_version_ends_with_its_series() -> None:
    telemetry = Telemetry()
    for version in range(1, 9):
        telemetry.series("one", version, calibrated(entropy=EVEN))
    assert set(telemetry.drift_reports("one")) == {5, 6, 7, 8}


def test_what_is_not_finite_is_no_evidence() -> None:
    telemetry = Telemetry()
    series = telemetry.series("one", 1, calibrated(entropy=EVEN))
    for _ in range(1000):
        series.computed(2, 0.1, {"entropy": np.array([math.nan, math.inf])})
    assert telemetry.drift_reports("one")[1].evidence == 1
