from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings


def test_defaults_serve_the_shipped_store_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 8000, "auto")
    assert settings.store == Path(__file__).parents[2] / "models" / "store"
    assert settings.pin == {}


def test_pins_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKSEMBLES_PIN", "digits:3, fashion-mnist:1")
    assert Settings().pin == {"digits": 3, "fashion-mnist": 1}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PIN", "digits", "expected name:version"),
        ("PIN", "digits:1,digits:2", "pinned twice"),
        ("DEVICE", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
    ],
)
def test_bad_values_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(f"MASKSEMBLES_{name}", value)
    with pytest.raises(ValidationError, match=message):
        Settings()


def test_every_setting_is_described_and_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"`MASKSEMBLES_{name.upper()}`" in readme
