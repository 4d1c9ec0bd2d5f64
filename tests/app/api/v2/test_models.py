from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from app.api.v2 import models
from app.errors import InvalidInput, UnknownModel


def request(**parameters: str) -> Request:
    """Of a service that has a model `a`; what is found there is what was looked for."""

    def find(name: str, version: int | None) -> Any:
        if name != "a":
            raise UnknownModel(f"no model {name!r} is served")
        return SimpleNamespace(name=name, version=version)

    services = SimpleNamespace(registry=SimpleNamespace(find=find))
    app = SimpleNamespace(state=SimpleNamespace(services=services))
    return Request({"type": "http", "app": app, "path_params": parameters})


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "x" * 129, "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    for ask in (models.name, models.target, models.find):
        with pytest.raises(InvalidInput, match="is not a model name") as caught:
            ask(request(name=name))
        assert caught.value.field == "name"


@pytest.mark.parametrize("version", ["0", "", "01", "-1", "1.0", "x", "1\n", "9" * 10, "¹"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(InvalidInput, match="is not a version") as caught:
        models.target(request(name="a", version=version))
    assert caught.value.field == "version"


def test_a_path_may_name_a_version() -> None:
    assert models.target(request(name="a")) == ("a", None)
    assert models.target(request(name="a", version="12")) == ("a", 12)


def test_it_is_looked_for_in_the_registry_of_the_application() -> None:
    found = models.find(request(name="a", version="2"))
    assert (found.name, found.version) == ("a", 2)
    with pytest.raises(UnknownModel):
        models.find(request(name="b"))
