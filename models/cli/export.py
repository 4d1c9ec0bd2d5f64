"""`export`: a trained network, compiled and calibrated, into the model repository."""

import argparse
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.contract.tasks import TASKS
from models.cli import arguments
from models.cli.checkpoints import checkpoints, named
from models.cli.rows import is_file
from models.cli.summary import summarise
from models.data import LOADERS, DatasetError, load

if TYPE_CHECKING:
    from torch import Tensor, nn

    from app.contract.axis import Axes
    from models.data import Split
    from models.export import ExportOptions


def add(commands: "arguments.Commands") -> None:
    """Its options."""
    export = commands.add_parser(
        "export", help="compile a trained network, calibrate it and write it to the model repository"
    )
    export.set_defaults(run=run)
    export.add_argument("dataset", nargs="?", choices=sorted(LOADERS), help="that the network was trained on here")
    arguments.add_method(export)
    export.add_argument("--name", help="of the model, default DATASET[-METHOD]")
    export.add_argument(
        "--checkpoint",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="of `train`, where it writes by default; with --network a state_dict. Several make a deep ensemble",
    )
    export.add_argument("--data", type=Path, metavar="PATH", help="the folder of the data set's files")
    arguments.add_policy(export)
    arguments.add_guarantees(export)
    other = export.add_argument_group(
        "a network from elsewhere", "with --data FILE.npz (inputs, labels) to calibrate on"
    )
    other.add_argument("--network", metavar="MODULE:FACTORY", help="called without arguments, gives a torch.nn.Module")
    other.add_argument(
        "--no-checkpoint", action="store_true", help="the factory gives a trained network, weights and all"
    )
    other.add_argument(
        "--input-shape", type=arguments.shape, metavar="C,H,W", help="of one row; letters for axes of free size"
    )
    other.add_argument(
        "--axis",
        type=arguments.axis,
        action="append",
        metavar="H=32:1024:8",
        help="the least and most size of such an axis, and what it is a multiple of; once for each letter",
    )
    other.add_argument(
        "--labels", type=lambda text: text.split(","), metavar="A,B,…", help="the classes, or labels, in order"
    )
    other.add_argument(
        "--task",
        choices=[name for name, task in TASKS.items() if task.answers == "labels"],
        help="multilabel: each label is on or off; by default a row has one class",
    )
    other.add_argument(
        "--normalise", type=arguments.mean_and_std, metavar="MEAN/STD", help="a number or one a channel: 0.5,0.4/1"
    )
    other.add_argument(
        "--value-range",
        type=arguments.value_range,
        metavar="LOW,HIGH[/…]",
        help="of input values, one pair or one a channel; the service refuses others",
    )
    other.add_argument(
        "--features", type=lambda text: text.split(","), metavar="A,B,…", help="of a row of numbers, in order"
    )
    other.add_argument(
        "--symbols", type=Path, metavar="FILE", help="what each id of a token stands for, one a line from id 0 on"
    )
    other.add_argument("--layout", metavar="BCHW", help="a letter for each axis of pictures, to be posted as files")
    other.add_argument("--colour", choices=["grey", "rgb"], help="of pictures")
    other.add_argument("--resize", choices=["stretch", "crop"], help="make pictures of another size fit")
    other.add_argument(
        "--mc-dropout", type=arguments.positive, metavar="N", help="freeze its dropout into so many submodels"
    )
    arguments.add_seed(other, "of those masks")
    compiler = export.add_argument_group("the compiler")
    compiler.add_argument(
        "--devices",
        type=arguments.devices,
        default=("cpu",),
        help="devices that may get a plan of their own: cpu (default), cuda",
    )
    compiler.add_argument("--plan", choices=["folded", "branches", "grouped"], help="force a plan for them")
    compiler.add_argument("--tune", action="store_true", help="choose it by measuring on this machine")
    compiler.add_argument(
        "--precision",
        choices=["float32", "float16"],
        default="float32",
        help="of everything before the last layer, default float32",
    )
    arguments.add_repository(export)


_OF_INPUTS = (
    "input_shape", "axis", "labels", "task", "normalise", "value_range", "features", "symbols", "layout", "colour",
    "resize",
)  # fmt: skip


@dataclass(frozen=True)
class _Source:
    """What is exported, before the compiler's settings are added."""

    network: "nn.Module | Sequence[nn.Module]"
    example: "Tensor"
    options: "ExportOptions"
    name: str


def run(arguments: argparse.Namespace) -> None:
    """Exports."""
    from models.export import export

    source = _trained_elsewhere(arguments) if arguments.network else _trained_here(arguments)
    options = replace(
        source.options,
        devices=arguments.devices,
        plan=arguments.plan,
        tune=arguments.tune,
        precision=arguments.precision,
        mc_dropout=arguments.mc_dropout or source.options.mc_dropout,
        seed=arguments.seed,
        policy=None if arguments.policy == "none" else arguments.policy,
        coverages=arguments.coverages,
        risks=arguments.risks,
    )
    path = export(source.network, source.example, options, name=source.name, repository=arguments.repository)
    rows = {"input": options.calibration.inputs[:1]} if options.calibration else {}
    summarise(arguments.repository, path.parents[1].name, int(path.parent.name), rows)


def _trained_here(arguments: argparse.Namespace) -> _Source:
    """Checkpoints of `python -m models train`."""
    from models.training import trainer
    from models.training.exporting import export_options
    from models.training.methods import METHODS, method_of

    if arguments.dataset is None:
        raise ValueError("name the data set of a network that was trained here, or give --network")
    for option in _OF_INPUTS:
        if getattr(arguments, option) is not None:
            raise ValueError(f"--{option.replace('_', '-')} goes with --network; the data set says it here")
    if arguments.no_checkpoint:
        raise ValueError("--no-checkpoint goes with --network; a data set's networks are in checkpoints")
    dataset = load(arguments.dataset, arguments.data)
    paths = arguments.checkpoint or checkpoints(arguments.dataset, arguments.method)
    recipes, networks = zip(*map(trainer.load, paths))
    for recipe in recipes:
        if recipe.data != dataset.name:
            raise DatasetError(f"the checkpoint was trained on {recipe.data}, not on {dataset.name}")
    method = method_of(recipes)
    METHODS[method].check_members(recipes, paths)
    example, options = export_options(recipes, dataset)
    return _Source(
        network=networks[0] if len(networks) == 1 else networks,
        example=example,
        options=options,
        name=arguments.name or named(arguments.dataset, method),
    )


def _trained_elsewhere(arguments: argparse.Namespace) -> _Source:
    """The network of a factory."""
    import torch

    from models.export import ExportOptions

    if arguments.dataset is not None:
        raise ValueError("give a data set or --network, not both")
    missing = [option for option in ("name", "input_shape", "labels") if getattr(arguments, option) is None]
    if missing:
        raise ValueError(f"--network also needs {', '.join('--' + option.replace('_', '-') for option in missing)}")
    networks = _networks(arguments.network, arguments.checkpoint or (), arguments.no_checkpoint)
    calibration = None
    if arguments.data is not None:
        if not is_file(arguments.data):
            raise DatasetError(f"--data: with --network an .npz file with inputs and labels, got {arguments.data}")
        calibration = load(str(arguments.data)).calibration
    _check_one_input(networks[0], calibration)
    axes = dict(arguments.axis or ())
    rows = torch.from_numpy(calibration.inputs[:2]) if calibration else _made_up(arguments.input_shape, axes)
    if not axes and tuple(rows.shape[1:]) != arguments.input_shape:
        raise DatasetError(f"inputs: --input-shape says {list(arguments.input_shape)}, got {list(rows.shape[1:])}")
    return _Source(
        network=networks[0] if len(networks) == 1 else networks,
        example=rows,
        options=ExportOptions(
            labels=arguments.labels,
            input_shape=arguments.input_shape,
            axes=axes,
            task=arguments.task,
            normalise=arguments.normalise,
            value_range=arguments.value_range,
            features=arguments.features,
            symbols=_lines(arguments.symbols) if arguments.symbols else None,
            layout=arguments.layout,
            colour=arguments.colour,
            resize=arguments.resize,
            calibration=calibration,
            data=arguments.data.name if arguments.data else "",
            recipe={"network": arguments.network},
        ),
        name=arguments.name,
    )


def _lines(path: Path) -> list[str]:
    # not splitlines: a vocabulary may hold other characters that end a line
    return path.read_text("utf-8").removesuffix("\n").split("\n")


def _check_one_input(network: "nn.Module", calibration: "Split | None") -> None:
    """Checks that a network takes one input: several have names and options of their own."""
    parameters = inspect.signature(network.forward).parameters.values()
    needed = [one.name for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(needed) > 1 or (calibration is not None and isinstance(calibration.inputs, Mapping)):
        raise ValueError("--network is for networks of one input: export others from Python, with ExportOptions.inputs")


def _made_up(shape: Sequence[int | str], axes: "Axes") -> "Tensor":
    """Two rows of noise; free axes have a size of at least 16 where they may, for what shrinks maps."""
    import torch

    sizes = []
    for size in shape:
        if isinstance(size, str):
            if size not in axes:
                raise ValueError(
                    f"--axis: --input-shape has the letter {size}, say its bounds: --axis {size}=LEAST:MOST"
                )
            step = axes[size].multiple_of
            size = min(max(axes[size].least, -(-16 // step) * step), axes[size].most)
        sizes.append(size)
    return torch.rand(2, *sizes)


def _networks(factory: str, checkpoints: Sequence[Path], trained: bool) -> "list[nn.Module]":
    """What the factory gives, with the weights of each checkpoint.

    Raises:
        ValueError: neither or both of checkpoints and `trained`, a checkpoint is there twice, or the factory gives the
            same network again.
    """
    from models.state_dict import build, load_weights

    if bool(checkpoints) == trained:  # never random weights by mistake: nothing later could tell them from trained ones
        raise ValueError("--checkpoint: give the trained weights, or --no-checkpoint if the factory loads them itself")
    if len({path.resolve() for path in checkpoints}) < len(checkpoints):
        raise ValueError("--checkpoint: the networks of a deep ensemble differ, got the same file twice")
    networks = [build(factory) for _ in checkpoints or (None,)]
    if len(set(networks)) < len(networks):  # the last checkpoint would be all of them
        raise ValueError(f"--network: {factory} must make a new network with each call")
    for network, checkpoint in zip(networks, checkpoints):
        load_weights(network, checkpoint)
    return networks
