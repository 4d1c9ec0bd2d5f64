"""`examples`: a few inputs of each shipped data set, for the service's page."""

import argparse
from pathlib import Path

from models.cli import arguments


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    command = commands.add_parser("examples", help="write a few inputs of each shipped data set as files")
    command.set_defaults(run=run)
    command.add_argument("folder", type=Path)
    command.add_argument("--data", type=Path, metavar="PATH", help="the folder of Fashion-MNIST's files")
    command.add_argument("--address", default="", help="what stands before the names of the files in examples.json")


def run(options: argparse.Namespace) -> None:
    """Writes the files."""
    from models.data.examples import write

    print(f"written: {len(write(options.folder, options.address, options.data))} files to {options.folder}")
