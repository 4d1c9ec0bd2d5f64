from app.telemetry.versions import States, VersionGauges


def shown(versions: dict[str, States]) -> dict[tuple[str, ...], float]:
    """The value of each sample, by its name and the values of its labels."""
    gauges = VersionGauges()
    gauges.read = lambda: versions
    return {
        (sample.name, *sample.labels.values()): sample.value for family in gauges.collect() for sample in family.samples
    }


def test_versions_are_counted_by_state_and_the_one_that_answers_is_named() -> None:
    assert shown(
        {"one": States(4, ("standby", "standby", "available", "rejected")), "two": States(1, ("available",))}
    ) == {
        ("masksembles_answering_version", "one"): 4,
        ("masksembles_versions", "one", "available"): 1,
        ("masksembles_versions", "one", "rejected"): 1,
        ("masksembles_versions", "one", "standby"): 2,
        ("masksembles_answering_version", "two"): 1,
        ("masksembles_versions", "two", "available"): 1,
    }


def test_a_model_that_does_not_answer_has_no_answering_version() -> None:
    assert shown({"one": States(None, ("rejected",))}) == {("masksembles_versions", "one", "rejected"): 1}


def test_before_there_are_models_there_is_nothing() -> None:
    assert [family.samples for family in VersionGauges().collect()] == [[], []]
