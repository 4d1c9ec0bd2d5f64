"""What a request wants beside its rows, from JSON and from a query."""

from typing import Any

import pytest

from app.api.predict import params
from app.api.predict.params import PredictParams
from app.errors import InvalidInput, MalformedBody

EVERYTHING: dict[str, Any] = {
    "model": "a", "version": 3, "outputs": ["entropy", "road.prediction"], "policy": "defer entropy>1", "coverage": 0.9,
    "maps": "png", "colormap": "viridis", "bits": 16, "id": "x",
}  # fmt: skip


def test_a_body_says_all_that_can_be_wanted_and_its_inputs_stay_unread() -> None:
    body = b'{"model": "a", "version": 3, "outputs": ["entropy", "road.prediction"], "policy": "defer entropy>1", '
    body += b'"coverage": 0.9, "maps": "png", "colormap": "viridis", "bits": 16, "id": "x", "inputs": {"x": [ [1 ]}}'
    with pytest.raises(MalformedBody):
        params.read_call(body)
    found = params.read_call(body.replace(b"[ [1 ]", b"[ [1] ]"))
    assert {name: getattr(found, name) for name in EVERYTHING} == EVERYTHING
    assert bytes(memoryview(found.inputs)) == b'{"x": [ [1] ]}'


def test_a_query_says_the_same() -> None:
    query = {name: str(value) for name, value in EVERYTHING.items()} | {"outputs": "entropy,road.prediction"}
    assert params.read_query(query) == PredictParams(**EVERYTHING)
    assert params.read_query({}) == PredictParams()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"version": "0"}, "version"), ({"version": "x"}, "version"), ({"coverage": "2"}, "coverage"),
        ({"maps": "jpeg"}, "maps"), ({"colormap": "jet"}, "colormap"), ({"bits": "12"}, "bits"),
        ({"bits": "x"}, "bits"), ({"bits": "²"}, "bits"),
        ({"bits": "9" * 5000}, "bits"), ({"bits": ""}, "bits"), ({"model": "../a"}, "model"),

        ({"id": "x" * 257}, "id"), ({"policy": "x" * 1001}, "policy"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        params.read_query(given)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", None), (b'{"inputs": [], "more": 1}', None), (b'{"inputs": [], "bits": 8.5}', "bits"),
        (b'{"inputs": [], "bits": true}', "bits"), (b'{"inputs": [], "outputs": "entropy"}', "outputs"),
        (b'{"inputs": [], "maps": true}', "maps"), (b"[]", None),
    ],
)  # fmt: skip
def test_a_body_of_another_kind_is_refused(body: bytes, field: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        params.read_call(body)
    assert field is None or caught.value.field == field
