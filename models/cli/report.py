"""`report`: one HTML page with all that a version of the repository tells about itself."""

import argparse
from pathlib import Path

from app.contract.repository import parse_reference
from models.cli import arguments


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    report = commands.add_parser("report", help="write an HTML page about a version: figures, guarantees, origin")
    report.set_defaults(run=run)
    report.add_argument("model", metavar="NAME:VERSION")
    report.add_argument("--output", type=Path, metavar="FILE", help="default NAME-VERSION.html")
    arguments.add_repository(report)


def run(options: argparse.Namespace) -> None:
    """Writes the page."""
    from models.report.page import page

    name, version = parse_reference(options.model)
    path = options.output or Path(f"{name}-{version}.html")
    path.write_text(page(options.repository, name, version), "utf-8")
    print(f"wrote: {path}")
