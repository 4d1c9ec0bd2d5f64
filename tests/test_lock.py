"""requirements.lock holds what pyproject.toml asks for: a range that was changed without `make lock` shows here."""

import tomllib
from collections import defaultdict

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.serving import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [
    Requirement(line)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in group
    if not line.startswith(f"{PROJECT['name']}[")  # an extra that holds another one
]
PINS = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]


def pinned(pin: Requirement) -> Version:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


@pytest.mark.parametrize("direct", DIRECT, ids=str)
def test_every_direct_dependency_is_pinned_within_its_range(direct: Requirement) -> None:
    (pin,) = [pin for pin in PINS if pin.name == canonicalize_name(direct.name)]
    assert direct.specifier.contains(pinned(pin), prereleases=True), "stale: make lock"


def test_a_dependency_of_some_platforms_keeps_its_marker() -> None:
    markers = {canonicalize_name(direct.name): str(direct.marker) for direct in DIRECT if direct.marker}
    assert {pin.name: str(pin.marker) for pin in PINS if pin.marker} == markers


def test_each_package_is_pinned_once_to_a_version_that_every_index_has() -> None:
    versions = defaultdict(list)
    for pin in PINS:
        versions[canonicalize_name(pin.name)].append(pinned(pin))
    assert [name for name, found in versions.items() if len(found) > 1] == []
    assert [name for name, found in versions.items() if found[0].local] == []
