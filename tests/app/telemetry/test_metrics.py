import math

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.contract import schema
from app.contract.calibration import Calibration
from app.contract.tasks import regression
from app.telemetry.metrics import Telemetry, monitored_outputs, reference_deciles
from tests.app.engine.fakes import CONTRACT


def calibrated(**tables: list[float]) -> schema.Contract:
    calibration = Calibration(
        data="held out", rows=1000, temperature=1.0, nll_before=1.0, nll_after=1.0,
        quantiles={name: tuple(table) for name, table in tables.items()},  # type: ignore[arg-type,misc]
    )  # fmt: skip
    return CONTRACT.model_copy(update={"calibration": calibration})


EVEN = [at / 100 for at in range(101)]


def samples(telemetry: Telemetry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(telemetry.render().decode())
        for sample in family.samples
    }


def value(telemetry: Telemetry, name: str, **labels: str) -> float:
    return samples(telemetry)[name, frozenset(labels.items())]


def test_the_edges_are_the_reference_deciles() -> None:
    assert reference_deciles(calibrated(entropy=EVEN), "entropy").tolist() == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    )


def test_equal_deciles_are_one_edge() -> None:
    table = [0.0] * 50 + [1.0] * 30 + [2.0] * 21
    assert reference_deciles(calibrated(entropy=table), "entropy").tolist() == [0.0, 1.0, 2.0]


def test_there_are_none_without_a_calibration_or_for_a_score_that_is_constant() -> None:
    assert reference_deciles(CONTRACT, "entropy").size == 0
    assert reference_deciles(calibrated(entropy=EVEN), "mutual_information").size == 0
    contract = calibrated(entropy=EVEN, mutual_information=[0.0] * 101)
    assert reference_deciles(contract, "mutual_information").size == 0
    telemetry = Telemetry()
    telemetry.series("one", 1, contract).computed(1, 0.1, {"entropy": np.ones(1), "mutual_information": np.zeros(1)})
    names = {name for name, _ in samples(telemetry)}
    assert "masksembles_entropy_nats_bucket" in names
    assert "masksembles_mutual_information_nats_bucket" not in names


def test_what_a_model_has_not_is_not_watched() -> None:
    parts = {"task": "regression", "outputs": regression.outputs(False)}
    contract = calibrated(entropy=EVEN).model_copy(update=parts)
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
        found = value(telemetry, "masksembles_entropy_nats_bucket", model="one", version=version, le=str(edge))
        assert found == (drawn <= edge).sum()
    assert value(telemetry, "masksembles_entropy_nats_bucket", model="one", version="1", le="+Inf") == 1000
    assert value(telemetry, "masksembles_entropy_nats_count", model="one", version="1") == 1000
    total = value(telemetry, "masksembles_entropy_nats_sum", model="one", version="1")
    assert total == pytest.approx(drawn.sum())


def test_a_value_on_an_edge_belongs_below_it_and_nan_nowhere() -> None:
    telemetry = Telemetry()
    series = telemetry.series("one", 1, calibrated(entropy=EVEN))
    series.computed(3, 0.1, {"entropy": np.array([0.5, math.nan, math.inf])})
    assert value(telemetry, "masksembles_entropy_nats_bucket", model="one", version="1", le="0.4") == 0
    assert value(telemetry, "masksembles_entropy_nats_bucket", model="one", version="1", le="0.5") == 1
    assert value(telemetry, "masksembles_entropy_nats_count", model="one", version="1") == 1


def test_requests_batches_and_times_are_counted() -> None:
    telemetry = Telemetry()
    series = telemetry.series("one", 1, CONTRACT)
    series.answered("ok", 0.02)
    series.answered("ok", 0.03)
    series.answered("queue_full", 0.001)
    series.waited(0.004)
    series.computed(5, 0.01, {})
    series.decided({"accept": 4, "defer": 1})
    telemetry.refused("unknown_model")
    telemetry.reloaded("one", "rejected")
    telemetry.halved()
    labels = {"model": "one", "version": "1"}
    assert value(telemetry, "masksembles_requests_total", **labels, outcome="ok") == 2
    assert value(telemetry, "masksembles_requests_total", **labels, outcome="queue_full") == 1
    assert value(telemetry, "masksembles_requests_total", model="", version="", outcome="unknown_model") == 1
    assert value(telemetry, "masksembles_request_seconds_sum", **labels) == pytest.approx(0.051)
    assert value(telemetry, "masksembles_queue_seconds_count", **labels) == 1
    assert value(telemetry, "masksembles_compute_seconds_sum", **labels) == pytest.approx(0.01)
    assert value(telemetry, "masksembles_batch_rows_bucket", **labels, le="8.0") == 1
    assert value(telemetry, "masksembles_batch_rows_bucket", **labels, le="4.0") == 0
    for action, rows in (("accept", 4), ("defer", 1), ("reject", 0)):
        assert value(telemetry, "masksembles_decisions_total", **labels, action=action) == rows
    assert value(telemetry, "masksembles_reloads_total", model="one", result="rejected") == 1
    assert value(telemetry, "masksembles_out_of_memory_total") == 1


def test_series_are_bounded_in_number() -> None:
    telemetry = Telemetry()
    sizes = []
    for version in range(1, 30):
        series = telemetry.series("one", version, calibrated(entropy=EVEN))
        series.answered("ok", 0.02)
        series.computed(5, 0.01, {"entropy": np.ones(5)})
        series.decided({"defer": 2})
        sizes.append(len(samples(telemetry)))
    assert sizes[3] < sizes[4] + 1 == sizes[-1] + 1
    versions = {dict(labels).get("version") for _, labels in samples(telemetry)}
    assert versions - {None} == {"26", "27", "28", "29"}


def test_loaded_versions_keep_their_series() -> None:
    telemetry = Telemetry(loaded=6)
    for _ in range(3):
        for version in range(1, 7):
            telemetry.series("one", version, CONTRACT).answered("ok", 0.02)
    for version in range(1, 7):
        assert value(telemetry, "masksembles_requests_total", model="one", version=str(version), outcome="ok") == 3


def test_what_is_told_to_an_ended_series_goes_nowhere() -> None:
    telemetry = Telemetry()
    first = telemetry.series("one", 1, CONTRACT)
    for version in range(2, 9):
        telemetry.series("one", version, CONTRACT)
    first.answered("client_gone", 0.1)
    first.decided({"accept": 1})
    assert "1" not in {dict(labels).get("version") for _, labels in samples(telemetry)}


def test_an_old_version_that_is_still_asked_comes_back() -> None:
    telemetry = Telemetry()
    for version in (1, 2, 3, 4, 5, 1):
        telemetry.series("one", version, CONTRACT).answered("ok", 0.02)
    assert value(telemetry, "masksembles_requests_total", model="one", version="1", outcome="ok") == 1
