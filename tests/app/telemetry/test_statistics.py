from app.telemetry.statistics import Duration, Statistics


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
