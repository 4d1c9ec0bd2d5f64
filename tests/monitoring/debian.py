"""Programs that Debian's package `prometheus` brings. Without them their tests are skipped, but not in CI."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of a program; a test that asks for one that is not there is skipped, and fails where CI is set."""
    path = shutil.which(name)
    if path is None:
        says = f"there is no {name}: install Debian's or Ubuntu's package prometheus"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    return path
