from dataclasses import fields

from app.telemetry.statistics import Duration, Statistics, total

DURATIONS = [field.name for field in fields(Statistics) if field.type is Duration]


def test_a_request_in_parts_is_one_request_that_waited_once_and_ran_twice() -> None:
    counted = Statistics()
    counted.computed(4, 0.5)
    counted.ran(0.5, waited=0.1, times=1)
    counted.computed(2, 0.25)
    counted.ran(0.25, waited=0.7, times=0)
    counted.succeeded(1.0, reading=0.01, writing=0.02)
    assert (counted.rows, counted.runs) == (6, 2)
    assert counted.compute_infer == Duration(1, 0.75)
    assert counted.queue == Duration(1, 0.1)
    assert (counted.success, counted.compute_input, counted.compute_output) == (
        Duration(1, 1.0), Duration(1, 0.01), Duration(1, 0.02),
    )  # fmt: skip
    assert counted.batches == {4: Duration(1, 0.5), 2: Duration(1, 0.25)}
    assert counted.last is not None


def test_failures_are_counted_apart() -> None:
    counted = Statistics()
    counted.fail.add(0.5)
    assert counted.fail == Duration(1, 0.5)
    assert counted.success == Duration()
    assert counted.last is None


def test_what_several_processes_counted_adds_up() -> None:
    one, other = Statistics(), Statistics()
    for counted, seconds in ((one, 1.0), (other, 2.0)):
        counted.computed(3, seconds)
        counted.ran(seconds, waited=0.5, times=1)
        counted.succeeded(seconds, reading=0.25, writing=0.125)
        counted.fail.add(seconds)
    both = total([{"m:1": one}, {}, {"m:1": other, "n:2": Statistics()}])
    found = both["m:1"]
    assert (found.rows, found.runs, found.last) == (6, 2, other.last)
    assert found.batches == {3: Duration(2, 3.0)}
    assert found.compute_infer == found.success == found.fail == Duration(2, 3.0)
    assert (found.queue, found.compute_input) == (Duration(2, 1.0), Duration(2, 0.5))
    assert found.compute_output == Duration(2, 0.25)
    assert both["n:2"] == Statistics()


def test_every_duration_of_the_statistics_is_added_up() -> None:
    of_one = Statistics()
    for name in DURATIONS:
        setattr(of_one, name, Duration(1, 1.0))
    found = total([{"m:1": of_one}, {"m:1": of_one}])["m:1"]
    assert len(DURATIONS) == 6
    assert all(getattr(found, name) == Duration(2, 2.0) for name in DURATIONS)
