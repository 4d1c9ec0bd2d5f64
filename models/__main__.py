"""The workshop's command line: train, export, calibrate, evaluate, report, benchmark, examples."""

import argparse
import logging
import sys
from collections.abc import Sequence

from tqdm.contrib.logging import logging_redirect_tqdm

from models.cli import benchmark, calibrate, evaluate, examples, export, report, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, or 1 after a message about what is wrong."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("models").setLevel(logging.INFO)
    try:
        with logging_redirect_tqdm():  # a line of the log does not cut through one that shows progress
            options.run(options)
    except (ValueError, OSError) as error:  # every error of ours is one of these
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (train, export, calibrate, evaluate, report, examples, benchmark):
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
