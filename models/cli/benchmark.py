"""`benchmark`: trains, exports, measures and compares all methods; the same command resumes after an interruption."""

import argparse
from pathlib import Path

from models.cli import arguments
from models.cli.checkpoints import FOLDER

_STUDIES = ("cifar-10", "fashion-mnist", "fashion-mnist-recipes", "imagenet", "scenes")


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    command = commands.add_parser("benchmark", help="train, export, measure and compare all methods")
    command.set_defaults(run=run)
    command.add_argument("study", choices=_STUDIES)
    command.add_argument("--quick", action="store_true", help="one seed and fewer points")
    command.add_argument("--data", type=Path, metavar="PATH", help="the folder of the data set's files")
    command.add_argument("--folder", type=Path, help="for checkpoints and models, default models/checkpoints/benchmark")
    command.add_argument("--results", type=Path, help="for tables and plots, default models/benchmark/results")
    command.add_argument(
        "--page", type=Path, metavar="FILE", help="put the tables between their marks in this Markdown file"
    )
    command.add_argument(
        "--publish", action="store_true", help="put the models with the first seed into the repository"
    )
    arguments.add_repository(command)


def run(options: argparse.Namespace) -> None:
    """Runs the studies."""
    from models.benchmark import report
    from models.benchmark.studies import BENCHMARKS

    if options.quick and options.page is not None:
        raise ValueError("--quick, --page: one seed is too few to publish tables")
    studies = [study.quick() if options.quick else study for study in BENCHMARKS[options.study]]
    folder = options.folder or FOLDER / "benchmark"
    results = options.results or (folder / "quick" if options.quick else report.RESULTS) / options.study
    for table in report.rebuild(studies, folder, results, options.data):
        print(table)
    if options.page is not None:
        report.fill(options.page, results)
    if options.publish:
        print(f"published: {', '.join(report.publish(studies, folder, options.repository))}")
    print(f"written: {results}")
