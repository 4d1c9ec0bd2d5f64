import pytest

from app.api.error_format import ErrorFormat
from app.api.error_formats import OURS, format_of
from app.api.v2.error_format import V2


@pytest.mark.parametrize(
    ("path", "expected"), [("/v2x", OURS), ("/predict", OURS), ("", OURS), ("/v2", V2), ("/v2/health/live", V2)]
)
def test_a_path_has_the_format_of_its_protocol_or_ours(path: str, expected: ErrorFormat) -> None:
    assert format_of(path) is expected


@pytest.mark.parametrize("form", [OURS, V2])
@pytest.mark.parametrize("field", [None, "inputs[0]"])
def test_bodies_are_what_the_document_shows(form: ErrorFormat, field: str | None) -> None:
    body = form.content("invalid_input", "too few", field, "abc")
    assert form.model.model_validate(body, strict=True).model_dump(exclude_unset=True) == body


def test_ours_leaves_out_a_field_that_there_is_not() -> None:
    assert OURS.content("c", "m", None, "abc") == {"error": {"code": "c", "message": "m", "request_id": "abc"}}
    assert OURS.content("c", "m", "x", "abc")["error"]["field"] == "x"


def test_that_of_v2_is_one_text() -> None:
    assert V2.content("c", "m", None, "abc") == {"error": "m"}
    assert V2.content("c", "m", "x", "abc") == {"error": "x: m"}
