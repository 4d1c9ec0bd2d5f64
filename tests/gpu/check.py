"""A check as a process of its own: `python -m tests.gpu.checks.NAME --device cuda --figures FILE`."""

import argparse
import faulthandler
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.engine.device import Cuda, Device, choose
from tests.gpu import exports
from tests.gpu.figures import Figures


@dataclass(frozen=True)
class Setting:
    """What a check is given: the kind of device, where it writes, and the packed exports."""

    device: str
    figures: Figures
    exports: Path

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    def choose(self, cuda: Cuda = Cuda()) -> Device:  # noqa: B008 - it is frozen
        """The device as the service chooses it.

        Raises:
            StartError: there is no usable GPU; the message names what is missing.
        """
        return choose(self.device, cuda)  # type: ignore[arg-type]


def run(check: Callable[[Setting], None]) -> None:
    """Runs a check and ends the process with 1 if it found anything wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--exports", type=Path, default=exports.FOLDER)
    options = parser.parse_args()
    faulthandler.enable()  # a check that hangs is sent SIGABRT, and shows where
    figures = Figures(options.figures)
    with figures.part("check"):
        check(Setting(options.device, figures, options.exports))
    sys.exit(1 if figures.failures else 0)
