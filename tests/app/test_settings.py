import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.contract.policy import Clause
from app.settings import Settings


def test_defaults_serve_the_shipped_store_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 8000, "auto")
    assert settings.model_repository == Path(__file__).parents[2] / "models" / "repository"
    assert settings.pin == {}


def test_pins_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKSEMBLES_PIN", "digits:3, fashion-mnist:1")
    assert Settings().pin == {"digits": 3, "fashion-mnist": 1}


def test_policies_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKSEMBLES_POLICY", "digits=reject energy>p99, defer entropy>0.62; *=none")
    rules = (Clause("reject", "energy", 99, "percentile"), Clause("defer", "entropy", 0.62))
    assert Settings().policy == {"digits": rules, "*": ()}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PIN", "digits", "expected name:version"),
        ("PIN", "digits:1,digits:2", "pinned twice"),
        ("POLICY", "defer entropy>1", "expected name=rules"),
        ("POLICY", "digits=defer doubt>1", "unknown score 'doubt'; expected one of confidence, entropy"),
        ("DEVICE", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("FEEDBACK_SECRET", "short", "secret 1: expected 32 characters or more"),
        ("FEEDBACK_SECRET_FILE", "/nowhere/secret", "No such file"),
        ("FEEDBACK_DAYS", "0", "greater than 0"),
        ("FEEDBACK_ROWS", "999", "greater than or equal to 1000"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
    ],
)
def test_bad_values_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(f"MASKSEMBLES_{name}", value)
    with pytest.raises(ValidationError, match=message):
        Settings()


def test_the_secret_comes_from_a_variable_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings().feedback_secrets == ()
    monkeypatch.setenv("MASKSEMBLES_FEEDBACK_SECRET", f"{'n' * 32},{'o' * 32}")
    settings = Settings()
    assert settings.feedback_secrets == (b"n" * 32, b"o" * 32)
    assert "nnn" not in repr(settings)
    file = tmp_path / "secret"
    file.write_text(f"{'f' * 32}\n")
    monkeypatch.setenv("MASKSEMBLES_FEEDBACK_SECRET_FILE", str(file))
    assert Settings().feedback_secrets == (b"f" * 32,)


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description[0].isupper() or field.description[0] == "`"
        assert not field.description.endswith(".")


def test_docker_compose_passes_every_setting_on() -> None:
    text = (Path(__file__).parents[2] / "docker-compose.yml").read_text()
    passed = set(re.findall(r"^ *- MASKSEMBLES_(\w+)", text, re.MULTILINE))
    of_the_image = {"HOST", "MODEL_REPOSITORY"}  # which the container's ports and volumes decide
    assert passed == {name.upper() for name in Settings.model_fields} - of_the_image
