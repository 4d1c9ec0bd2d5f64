import os

import pytest

from tests.bench.series import Sample, Series, slope


def of(values: list[float]) -> Series:
    series = Series(0)
    series.samples = [Sample(60.0 * at, value, int(value), 9) for at, value in enumerate(values)]
    return series


def test_what_grows_is_seen_and_what_jumps_back_is_not() -> None:
    assert of([100.0 + at for at in range(30)]).growth() == {"megabytes": 19.0, "descriptors": 19.0, "threads": 0.0}
    steady = [100.0] * 30
    steady[25] = 900.0
    assert of(steady).growth()["megabytes"] == 0.0


def test_the_warm_up_does_not_count() -> None:
    assert of([10.0 * at for at in range(10)] + [100.0] * 20).growth()["megabytes"] == 0.0
    assert of([1.0]).growth()["megabytes"] == 0.0


def test_what_grows_too_much_is_named_once_there_are_enough_samples() -> None:
    limits = {"megabytes": 18.0, "descriptors": 19.0, "threads": 0.0}
    growing = [100.0 + at for at in range(30)]
    assert of(growing).exceeded(limits) == ["megabytes grew by 19 after the warm-up"]
    assert of([10 * value for value in growing[:12]]).exceeded(limits) == []


def test_the_slope_is_that_of_the_line_whatever_the_times() -> None:
    assert slope([0.0, 1.0, 5.0], [3.0, 5.0, 13.0]) == pytest.approx(2.0)


def test_a_sample_of_this_process() -> None:
    sample = Series(os.getpid()).take()
    assert sample.megabytes > 1
    assert sample.descriptors >= 3
    assert sample.threads >= 1
