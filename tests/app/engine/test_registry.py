"""The snapshot that requests read."""

import asyncio

import pytest

from app.engine.device import Device
from app.engine.loader import Loader
from app.engine.model import LoadOptions
from app.engine.model_versions import ModelVersions, VerifiedModel
from app.engine.registry import ModelRegistry
from app.engine.scanned_version import ScannedVersion
from app.errors import UnknownModel, UnknownVersion
from tests.app.engine.fakes import CONTRACT, FakeSession, fake

LOADER = Loader(LoadOptions(Device("cpu", "cpu", "for tests")))


def no_load(model: VerifiedModel) -> None:
    raise AssertionError(f"{model.name} is loaded")


def loaded(name: str, version: int, *kept: int) -> ModelVersions:
    models = [fake(FakeSession(), name=name, version=number) for number in (version, *kept)]
    return ModelVersions((), models[0], tuple(models[1:]))


def test_it_is_replaced_as_a_whole_and_who_goes_through_it_is_not_disturbed() -> None:
    registry = ModelRegistry(LOADER, no_load)
    registry.replace("b", loaded("b", 1))
    before = registry.models, registry.serving
    registry.replace("a", loaded("a", 1))
    registry.replace("b", None)
    assert [list(mapping) for mapping in before] == [["b"], ["b"]]
    assert list(registry.models) == list(registry.serving) == ["a"]
    with pytest.raises(TypeError):
        registry.models["c"] = ModelVersions()


def test_models_are_found_by_name_and_version() -> None:
    registry = ModelRegistry(LOADER, no_load)
    registry.replace("a", loaded("a", 3, 2))
    registry.replace("empty", ModelVersions())
    assert registry.find("a", None).version == 3
    assert registry.find("a", 2).version == 2
    assert registry.find(None, 3).version == 3
    with pytest.raises(UnknownVersion, match=r"version 1 of 'a' is not served; there are: 3, 2"):
        registry.find("a", 1)
    for name in ("empty", "b"):
        with pytest.raises(UnknownModel, match=rf"no model '{name}' is served; there are: a"):
            registry.find(name, None)
    assert list(registry.models) == ["a", "empty"]


def test_the_default_is_the_one_that_was_set_or_the_only_one() -> None:
    chosen, free = ModelRegistry(LOADER, no_load, "b"), ModelRegistry(LOADER, no_load)
    for name in ("a", "b"):
        chosen.replace(name, loaded(name, 1))
        free.replace(name, loaded(name, 1))
        assert free.default == ("a" if name == "a" else None)
    assert chosen.find(None, None).name == "b"
    with pytest.raises(UnknownModel, match="there is no default; there are: a, b"):
        free.find(None, None)


def test_what_is_loaded_is_obtained_without_a_thread_and_the_rest_is_loaded_first() -> None:
    begun: list[str] = []

    def load(model: VerifiedModel) -> None:
        begun.append(model.name)
        registry.replace(model.name, loaded(model.name, model.version))

    registry = ModelRegistry(LOADER, load)
    registry.replace("a", ModelVersions((), VerifiedModel(ScannedVersion("a", 2, ()), CONTRACT)))

    async def scene() -> None:
        first, left = await registry.obtain("a", None, 30)
        assert first is registry.find("a", 2)
        assert 0 < left < 30
        assert await registry.obtain("a", None, 30) == (first, 30)

    asyncio.run(scene())
    assert begun == ["a"]


def test_an_error_of_the_load_itself_is_the_request_s() -> None:
    registry = ModelRegistry(LOADER, no_load)
    registry.replace("a", ModelVersions((), VerifiedModel(ScannedVersion("a", 2, ()), CONTRACT)))
    with pytest.raises(AssertionError, match="a is loaded"):
        asyncio.run(registry.obtain("a", None, 30))
