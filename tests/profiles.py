"""Which examples hypothesis draws: `dev` new ones in every run, `ci` always the same; HYPOTHESIS_PROFILE chooses.

Neither has a deadline: that a machine is at work on other tests, too, is no fault of the code.
"""

import os

from hypothesis import settings

_DEFAULT = settings.get_profile("default")  # not the profile in force, which hypothesis chooses by CI

settings.register_profile("dev", _DEFAULT, deadline=None)
settings.register_profile("ci", _DEFAULT, deadline=None, derandomize=True, database=None, print_blob=True)


def load_profile() -> None:
    """Puts the profile in force that the environment names: where it names none, `ci` in CI and `dev` elsewhere."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
