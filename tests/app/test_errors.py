"""What an error says of itself stands on its class, and nowhere else."""

import re
from http import HTTPStatus
from pathlib import Path

from app.errors import service_errors

APP = Path(__file__).parents[2] / "app"


def test_every_error_says_what_it_is() -> None:
    for kind in service_errors():
        own = vars(kind)
        assert {"status", "code", "summary", "example"} <= own.keys(), kind
        assert 400 <= HTTPStatus(kind.status) < 600
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
        assert kind.summary[0].isupper()
        assert "\n" not in kind.summary
        assert kind.example


def test_codes_and_names_are_unique() -> None:
    kinds = service_errors()
    assert len({kind.code for kind in kinds}) == len({kind.__name__ for kind in kinds}) == len(kinds)


def test_an_answer_that_may_say_when_to_try_again_is_described_so() -> None:
    patient = {kind for kind in service_errors() if "retry_after" in kind.__init__.__annotations__}
    assert patient == {kind for kind in service_errors() if "Retry-After" in kind.headers}


def test_no_code_stands_anywhere_else() -> None:
    codes = "|".join(kind.code for kind in service_errors())
    for path in APP.rglob("*.py"):
        if path.name != "errors.py":
            assert not re.search(rf"[\"'`]({codes})[\"'`]", path.read_text()), path
