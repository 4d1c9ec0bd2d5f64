"""`train`: trains a network on a data set; the same command resumes after an interruption."""

import argparse
from pathlib import Path

from models.cli import arguments
from models.cli.checkpoints import checkpoint
from models.data import LOADERS, load


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    command = commands.add_parser("train", help="train a network; the same command goes on after an interruption")
    command.set_defaults(run=run)
    command.add_argument("dataset", choices=sorted(LOADERS))
    arguments.add_method(command)
    command.add_argument(
        "--network",
        choices=["char_cnn", "cnn", "mlp", "resnet", "unet", "wide_resnet"],
        help="default: what suits the data set",
    )
    command.add_argument(
        "--submodels", type=arguments.positive, metavar="N", help="default 4; of a deep ensemble its networks"
    )
    command.add_argument("--scale", type=float, metavar="S", help="default 2")
    command.add_argument("--widen", action="store_true", help="widen layers so that a submodel keeps their width")
    command.add_argument("--align", type=arguments.positive, help="keep a multiple of this many channels, default 16")
    command.add_argument("--dropout", type=arguments.dropout, metavar="P", help="of MC-dropout, default 0.1")
    command.add_argument("--epochs", type=arguments.positive)
    command.add_argument("--batch-size", type=arguments.positive)
    command.add_argument("--learning-rate", type=float)
    command.add_argument(
        "--repeat", action="store_true", help="show every row to all submodels in each step, not to one"
    )
    command.add_argument(
        "--teachers", type=Path, nargs="+", metavar="FILE", help="checkpoints of networks whose answers to learn"
    )
    arguments.add_seed(command, "of weights, masks and batches")
    command.add_argument("--checkpoint", type=Path, help="default models/checkpoints/DATASET[-METHOD].pt")
    command.add_argument("--data", type=Path, metavar="PATH", help="the folder of the data set's files")


def run(options: argparse.Namespace) -> None:
    """Trains."""
    from models.training import trainer
    from models.training.methods import METHODS
    from models.training.recipe import DEFAULTS, Recipe
    from models.training.tasks import TASKS

    method = METHODS[options.method]
    if options.submodels is not None:
        method.check_submodels(options.submodels)
    dataset = load(options.dataset, options.data)
    asked = {
        name: value
        for name in (
            "network",
            "submodels",
            "scale",
            "align",
            "dropout",
            "epochs",
            "batch_size",
            "learning_rate",
        )
        if (value := getattr(options, name)) is not None
    }
    defaults = DEFAULTS[options.dataset]
    if options.network not in (None, defaults["network"]):
        defaults = {name: value for name, value in defaults.items() if name not in ("options", "align", "repeat")}
    if options.repeat:
        asked["repeat"] = True
    if options.widen:
        asked["options"] = {**defaults.get("options", {}), "widen": True}
    teachers = [trainer.load(path)[1] for path in options.teachers or ()]
    recipe = Recipe(
        data=dataset.name,
        input_shape=dataset.train.inputs.shape[1:],
        classes=TASKS[dataset.task].answers(dataset),
        task=dataset.task,
        method=method.trains,
        **{**defaults, **asked, "teachers": len(teachers), "seed": options.seed},
    )
    target = options.checkpoint or checkpoint(options.dataset, options.method)
    members = method.members(recipe)
    for index, (member, path) in enumerate(zip(members, method.checkpoints(target, recipe.submodels)), start=1):
        trainer.train(member, dataset, path, teachers=teachers)
        print(f"trained: {path}" + (f", {index} of {len(members)}" if method.several else ""))
