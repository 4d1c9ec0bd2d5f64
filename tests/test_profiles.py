"""Which examples hypothesis draws: new ones while one develops, the same ones every time in CI."""

import os
import subprocess
import sys

import pytest

from tests.serving import ROOT

DRAWS = """
from tests.profiles import load_profile

load_profile()
from hypothesis import given, strategies as st

@given(st.integers())
def draw(number):
    print(number)

draw()
"""


def drawn(**environment: str) -> str:
    plain = {name: value for name, value in os.environ.items() if name not in ("CI", "HYPOTHESIS_PROFILE")}
    command = [sys.executable, "-c", DRAWS]
    return subprocess.run(command, cwd=ROOT, env=plain | environment, capture_output=True, text=True, check=True).stdout


def test_a_developer_s_examples_are_new_ones() -> None:
    assert drawn() != drawn()
    assert drawn(CI="true", HYPOTHESIS_PROFILE="dev") != drawn(CI="true", HYPOTHESIS_PROFILE="dev")


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"HYPOTHESIS_PROFILE": "ci"}])
def test_those_of_ci_are_the_same_every_time(environment: dict[str, str]) -> None:
    found = drawn(**environment, PYTHONHASHSEED="1")
    assert len(found.splitlines()) > 50
    assert drawn(**environment, PYTHONHASHSEED="2") == found


def test_an_unknown_profile_is_no_silent_default() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        drawn(HYPOTHESIS_PROFILE="cl")
