import pytest

from app.api.error_formats import OURS
from app.api.v2.error_format import V2


@pytest.mark.parametrize("path", ["/v2x", "/v", "/", "", "/predict", "/V2", "/a/v2"])
def test_paths_that_only_resemble_the_prefix_are_not_its_own(path: str) -> None:
    assert not V2.covers(path)


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/models/a/infer"])
def test_the_prefix_and_what_lies_below_it_are(path: str) -> None:
    assert V2.covers(path)


@pytest.mark.parametrize("path", ["", "/", "/v2", "/predict"])
def test_without_a_prefix_every_path_is(path: str) -> None:
    assert OURS.covers(path)


def test_a_status_stays_what_it_is_unless_the_protocol_has_another() -> None:
    assert [OURS.status(status) for status in (404, 422, 503)] == [404, 422, 503]
    assert [V2.status(status) for status in (404, 422, 503)] == [404, 400, 503]
