"""Updates in Docker Swarm under load: to a new image, to a new version of a model, to what never becomes healthy."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.scale.fleet import IMAGE, docker, until
from tests.scale.swarm import Stack, stack
from tests.scale.traffic import traffic
from tests.serving import ROOT

SHIPPED = ROOT / "models" / "repository"
UPDATE = 400.0
"""Seconds for three replicas, each of which starts beside its predecessor and is watched for ten."""


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    repository = tmp_path_factory.mktemp("repository")
    repository.chmod(0o755)  # for the user of the container
    shutil.copytree(SHIPPED / "digits", repository / "digits")
    shutil.copytree(SHIPPED / "digits" / "3", repository / "digits" / "4")
    docker("compose", "build", "masksembles")
    docker("build", "--quiet", "--tag", "masksembles-proxy", "docker/haproxy")
    with stack(repository, MASKSEMBLES_PIN="digits:3") as found:
        yield found


def derived(tag: str, *lines: str) -> str:
    """An image made from that of the service."""
    text = "\n".join([f"FROM {IMAGE}", *lines])
    command = ["docker", "build", "--quiet", "--tag", f"{IMAGE}:{tag}", "-"]
    subprocess.run(command, input=text, text=True, capture_output=True, check=True)
    return f"{IMAGE}:{tag}"


def test_a_new_image_takes_over_and_fails_nobody(swarm: Stack) -> None:
    image = derived("test-next", "LABEL next=true")
    with traffic(swarm.port) as seen:
        swarm.deploy(IMAGE=image)
        until(lambda: swarm.update() == "completed", UPDATE)
        assert swarm.images() == {image}
        assert swarm.running() == 3
    print(f"\nnew image: {seen}")
    assert set(seen.with_retry) == {"ok"}
    assert seen.failed == 0
    assert set(seen.versions) == {3}


def test_a_new_version_of_a_model_takes_over_and_fails_nobody(swarm: Stack) -> None:
    with traffic(swarm.port) as seen:
        swarm.deploy(IMAGE=f"{IMAGE}:test-next", MASKSEMBLES_PIN="digits:4")
        until(lambda: swarm.update() == "completed", UPDATE)
        before = seen.versions[4]
        until(lambda: seen.versions[4] > before + 50)
    print(f"\nnew version: {seen}")
    assert set(seen.with_retry) == {"ok"}
    assert seen.failed == 0
    assert set(seen.versions) == {3, 4}


def test_what_never_becomes_healthy_is_rolled_back(swarm: Stack) -> None:
    image = derived("test-broken", "HEALTHCHECK --interval=1s --retries=2 CMD false")
    with traffic(swarm.port) as seen:
        swarm.deploy(IMAGE=image, MASKSEMBLES_PIN="digits:4")
        until(lambda: swarm.update() == "rollback_completed", UPDATE)
        assert swarm.images() == {f"{IMAGE}:test-next"}
        assert swarm.running() == 3
    print(f"\nrolled back: {seen}")
    assert set(seen.with_retry) == {"ok"}
    assert seen.failed == 0
