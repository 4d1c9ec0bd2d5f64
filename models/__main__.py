"""The workshop's command line: train, export, calibrate, evaluate."""

import argparse
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from app.contract import naming, policy
from app.contract.schema import Calibration, Contract, Evaluation, Method, RegressionEvaluation
from models import artefact
from models.data import LOADERS, Dataset, DatasetError, load

if TYPE_CHECKING:
    from models.outcome import Outcome

_CHECKPOINTS = Path(__file__).parent / "checkpoints"
_STUDIES = ("cifar-10", "fashion-mnist", "imagenet")
_NETWORKS = ("cnn", "mlp", "resnet", "wide_resnet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, or 1 after a message about what is wrong."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("models").setLevel(logging.INFO)
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # on torchvision
    try:
        options.run(options)
    except (ValueError, OSError) as error:  # every error of ours is one of these
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _train(options: argparse.Namespace) -> None:
    from models import train
    from models.recipe import DEFAULTS, Recipe

    dataset = load(options.dataset, options.data)
    asked = {
        name: value
        for name in (
            "network",
            "submodels",
            "scale",
            "align",
            "rate",
            "epochs",
            "batch_size",
            "learning_rate",
        )
        if (value := getattr(options, name)) is not None
    }
    defaults = DEFAULTS[options.dataset]
    if options.capacity:
        asked["options"] = {**defaults.get("options", {}), "capacity": True}
    ensemble = options.method == "deep-ensemble"
    recipe = Recipe(
        data=dataset.name,
        input_shape=dataset.train.inputs.shape[1:],
        classes=len(dataset.targets or dataset.classes),
        task="regression" if dataset.targets else "classification",
        method="single" if ensemble else options.method,
        **{**defaults, **asked, "seed": options.seed},
    )
    checkpoint = options.checkpoint or _checkpoint(options.dataset, options.method)
    if not ensemble:
        train.train(recipe, dataset, checkpoint)
        print(f"trained: {checkpoint}")
        return
    for index in range(recipe.submodels):
        member = replace(recipe, seed=options.seed * recipe.submodels + index)
        path = checkpoint.with_stem(f"{checkpoint.stem}-{index + 1}")
        train.train(member, dataset, path)
        print(f"trained: {path}, {index + 1} of {recipe.submodels}")


def _export(options: argparse.Namespace) -> None:
    from models.export import export

    arguments = _trained_here(options) if options.network is None else _trained_elsewhere(options)
    path = export(
        **arguments,
        store=options.store,
        devices=options.target,
        plan=options.plan,
        tune=options.tune,
        precision="float16" if options.half else "float32",
        mc_dropout=options.mc_dropout,
        seed=options.seed,
        policy=options.policy,
    )
    contract = artefact.read(options.store, path.parents[1].name, int(path.parent.name))[1]
    if contract.evaluation:
        _show(contract.evaluation)
    for file in sorted(path.parent.iterdir(), reverse=True):
        print(f"exported: {file} ({file.stat().st_size / 1e6:.2f} MB)")


def _trained_here(options: argparse.Namespace) -> dict[str, Any]:
    """What `export` gets for a checkpoint of `python -m models train`."""
    import torch

    from models import train

    if options.dataset is None:
        raise ValueError("name the data set of a network that was trained here, or give --network")
    for option in ("input_shape", "labels", "normalise", "range", "layout", "colour", "resize"):
        if getattr(options, option) is not None:
            raise ValueError(f"--{option.replace('_', '-')} goes with --network; the data set says it here")
    dataset = load(options.dataset, options.data)
    loaded = [train.load(path) for path in options.checkpoint or _checkpoints(options.dataset, options.method)]
    for recipe, _ in loaded:
        if recipe.data != dataset.name:
            raise DatasetError(f"the checkpoint was trained on {recipe.data}, not on {dataset.name}")
    recipe, network = loaded[0]
    method: str = "deep-ensemble" if len(loaded) > 1 else recipe.method
    if method == "mc-dropout" and options.mc_dropout is None:
        options.mc_dropout = recipe.submodels
    return {
        **({"network": network} if len(loaded) == 1 else {"networks": [member for _, member in loaded]}),
        "example_input": torch.from_numpy(dataset.calibration.inputs[:2]),
        "name": options.name or _named(options.dataset, method),
        **({"targets": dataset.targets} if dataset.targets else {"labels": dataset.classes}),
        "calibration": dataset.calibration,
        "evaluation": dataset.test,
        "data": dataset.name,
        "value_range": dataset.value_range,
        "unit": dataset.unit,
        "layout": dataset.layout or None,
        "colour": {1: "grey", 3: "rgb"}.get(dataset.train.inputs.shape[1]) if dataset.layout else None,
        "normalise": recipe.normalise,
        "recipe": {**recipe.plain(), **({"seeds": [member.seed for member, _ in loaded]} if len(loaded) > 1 else {})},
    }


def _trained_elsewhere(options: argparse.Namespace) -> dict[str, Any]:
    """What `export` gets for the network of a factory."""
    import torch

    from models.checkpoint import build, load_weights

    if options.dataset is not None:
        raise ValueError("give a data set or --network, not both")
    missing = [option for option in ("name", "input_shape", "labels") if getattr(options, option) is None]
    if missing:
        raise ValueError(f"--network also needs {', '.join('--' + option.replace('_', '-') for option in missing)}")
    network = build(options.network)
    if len(options.checkpoint or ()) > 1:
        raise ValueError("--checkpoint: with --network one file, got several")
    for checkpoint in options.checkpoint or ():
        load_weights(network, checkpoint)
    calibration = None
    if options.data is not None:
        if not _is_file(options.data):
            raise DatasetError(f"--data: with --network an .npz file with inputs and labels, got {options.data}")
        calibration = load(str(options.data)).calibration
    rows = torch.from_numpy(calibration.inputs[:2]) if calibration else torch.rand(2, *options.input_shape)
    if tuple(rows.shape[1:]) != options.input_shape:
        raise DatasetError(f"inputs: --input-shape says {list(options.input_shape)}, got {list(rows.shape[1:])}")
    return {
        "network": network,
        "example_input": rows,
        "name": options.name,
        "labels": options.labels,
        "normalise": options.normalise,
        "value_range": options.range,
        "layout": options.layout,
        "colour": options.colour,
        "resize": options.resize,
        "calibration": calibration,
        "data": str(options.data.name) if options.data else "",
        "recipe": {"network": options.network},
    }


def _calibrate(options: argparse.Namespace) -> None:
    from models.calibrate import calibrate
    from models.evaluate import evaluate

    name, version = naming.parse_reference(options.model)
    model, contract, _ = artefact.read(options.store, name, version)
    if contract.policy and options.policy is None:
        raise ValueError("the model's policy belongs to its old calibration: give --policy anew, or --policy none")
    rules = policy.parse(options.policy) if options.policy not in (None, "none") else None
    dataset = _data_of(options, contract)
    calibration = calibrate(model, contract, dataset.name, dataset.calibration)
    contract = contract.model_copy(
        update={
            "calibration": calibration,
            "policy": None,
            "evaluation": None,
            "origin": contract.origin.model_copy(update={"recalibrated_from": version}),
        }
    )
    if rules is not None:
        contract = contract.model_copy(update={"policy": policy.resolve(rules, contract)})
    if not _is_file(options.data):  # a file of rows is one split, and that one is spent
        contract = contract.model_copy(update={"evaluation": evaluate(model, contract, dataset.name, dataset.test)})
    plans = {}
    for device, (plan, planned) in artefact.read_plans(options.store, name, version).items():
        if contract.has_temperature:
            artefact.set_temperature(plan, calibration.temperature)
        updated = contract.model_copy(update={"plan": planned.plan, "compilation": planned.compilation})
        artefact.embed(plan, updated)
        plans[device] = plan
    artefact.embed(model, contract)
    path = artefact.write(model, options.store, name, plans=plans)
    print(f"{calibration.rows} rows of {calibration.data}: {_fitted(calibration)}\nwrote: {path}")


def _evaluate(options: argparse.Namespace) -> None:
    from models.evaluate import evaluate
    from models.outcome import corrupted, outcome

    name, colon, version = options.model.partition(":")
    model, contract, _ = artefact.read(options.store, name, naming.parse_version(version) if colon else None)
    dataset = _data_of(options, contract)
    _show(evaluate(model, contract, dataset.name, dataset.test))
    _show_outcome(outcome(model, contract, dataset.test), contract)
    if options.corruptions:
        for severity, found in corrupted(model, contract, dataset.test).items():
            print(f"made worse, severity {severity}: error {found.errors.mean():.4f}")
            _show_outcome(found, contract)


def _evidence(options: argparse.Namespace) -> None:
    from models.evidence import report
    from models.evidence.plan import STUDIES

    study = STUDIES[options.study].quick() if options.quick else STUDIES[options.study]
    folder = options.folder or _CHECKPOINTS / "evidence" / options.study
    results = options.results or (folder / "quick" if options.quick else report.RESULTS / options.study)
    for page in report.rebuild(study, folder, results, options.data):
        print(page)
    if options.readme is not None:
        report.fill(options.readme, results)
    if options.ship:
        print(f"shipped: {', '.join(report.ship(study, folder, options.store))}")
    print(f"written: {results}")


def _data_of(options: argparse.Namespace, contract: Contract) -> Dataset:
    """What --data says: an .npz file, or a folder for the files of the data set that the contract names."""
    if _is_file(options.data):
        dataset = load(str(options.data))
    else:
        named = [contract.calibration.data if contract.calibration else None, contract.origin.recipe.get("data")]
        known = [name for name in named if name in LOADERS]
        if not known:
            raise DatasetError(f"{options.model} names no data set that is known here: give an .npz file with --data")
        dataset = load(known[0], options.data)
    if dataset.classes and dataset.classes != contract.labels:
        raise DatasetError(f"classes: expected {', '.join(contract.labels)}, got {', '.join(dataset.classes)}")
    return dataset


def _is_file(data: Path | None) -> bool:
    return data is not None and data.suffix == ".npz"


def _fitted(calibration: Calibration) -> str:
    if calibration.nll_before is None or calibration.nll_after is None:
        return "no variance is predicted, so no temperature is fitted"
    return (
        f"temperature {calibration.temperature:.4f}, NLL {calibration.nll_before:.4f} at temperature 1, "
        f"{calibration.nll_after:.4f} now"
    )


def _show(figures: Evaluation | RegressionEvaluation) -> None:
    if isinstance(figures, Evaluation):
        print(
            f"{figures.data}, {figures.rows} test rows: accuracy {figures.accuracy:.4f}, NLL {figures.nll:.4f}, "
            f"ECE {figures.ece:.4f} (uncalibrated {figures.ece_uncalibrated:.4f}); "
            f"submodels alone {_each(figures.submodel_accuracy)}"
        )
        return
    nll = "" if figures.nll is None else f", NLL {figures.nll:.4f}"
    print(f"{figures.data}, {figures.rows} test rows: RMSE {_each(figures.rmse)}{nll}")
    for percent, shares in figures.coverage.items():
        print(f"{percent} % intervals: hold {_each(shares)} of the true values, {_each(figures.width[percent])} wide")


def _show_outcome(found: "Outcome", contract: Contract) -> None:
    accepted = found.accepted()
    if contract.policy:
        name, root = ("error", 1.0) if contract.task == "classification" else ("RMSE", 0.5)
        among = _each(found.errors[accepted].mean(axis=0) ** root) if accepted.any() else "none"
        print(
            f"policy: {100 * found.share('accept'):.1f} % accepted, {100 * found.share('defer'):.1f} % deferred, "
            f"{100 * found.share('reject'):.1f} % rejected; {name} {among} among the accepted, "
            f"{_each(found.errors.mean(axis=0) ** root)} overall"
        )
    for coverage, (held, size) in found.sets.items():
        print(
            f"{100 * coverage:g} % prediction sets: hold {held.mean():.4f} of the true classes, "
            f"{size.mean():.2f} large on average"
        )


def _each(values: Iterable[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _named(dataset: str, method: str) -> str:
    return dataset if method == "masksembles" else f"{dataset}-{method}"


def _checkpoint(dataset: str, method: str) -> Path:
    return _CHECKPOINTS / f"{_named(dataset, method)}.pt"


def _checkpoints(dataset: str, method: str) -> list[Path]:
    """Where `train` puts what `export` takes: the networks of a deep ensemble each into a file."""
    path = _checkpoint(dataset, method)
    if method != "deep-ensemble":
        return [path]
    members = path.parent.glob(f"{path.stem}-*.pt")
    found = sorted((member for member in members if member.stem.rpartition("-")[2].isdecimal()), key=_number)
    if len(found) < 2:
        raise ValueError(f"{path.with_stem(path.stem + '-1')} …: fewer than 2 checkpoints of a deep ensemble")
    return found


def _number(member: Path) -> int:
    return int(member.stem.rpartition("-")[2])


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text!r}")
    return int(text)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(_positive(size) for size in text.split(","))


def _targets(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(naming.DEVICES):
        raise argparse.ArgumentTypeError(f"expected {' or '.join(naming.DEVICES)}, or both with a comma, got {text!r}")
    return names


def _mean_and_std(text: str) -> tuple[list[float], list[float]]:
    try:
        mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected MEAN/STD, such as 0.5/0.25, got {text!r}") from None
    return mean, std


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH, such as 0,1, got {text!r}") from None
    return low, high


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network; the same command goes on after an interruption")
    train.set_defaults(run=_train)
    train.add_argument("dataset", choices=sorted(LOADERS))
    train.add_argument("--network", choices=sorted(_NETWORKS), help="default: what suits the data set")
    train.add_argument("--submodels", type=_positive, metavar="N", help="default 4; of a deep ensemble its networks")
    train.add_argument("--scale", type=float, metavar="S", help="default 2")
    train.add_argument("--capacity", action="store_true", help="widen layers so that a submodel keeps their width")
    train.add_argument("--align", type=_positive, help="keep a multiple of this many channels, default 16")
    train.add_argument("--rate", type=float, metavar="P", help="of MC-dropout, default 0.1")
    train.add_argument("--epochs", type=_positive)
    train.add_argument("--batch-size", type=_positive)
    train.add_argument("--learning-rate", type=float)
    train.add_argument("--seed", type=int, default=0, help="of weights, masks and batches, default 0")
    train.add_argument("--checkpoint", type=Path, help="default models/checkpoints/DATASET[-METHOD].pt")

    export = commands.add_parser("export", help="compile a trained network, calibrate it and write it to the store")
    export.set_defaults(run=_export)
    export.add_argument("dataset", nargs="?", choices=sorted(LOADERS), help="that the network was trained on here")
    export.add_argument("--name", help="of the model in the store, default DATASET[-METHOD]")
    export.add_argument(
        "--checkpoint", type=Path, nargs="+", metavar="FILE", help="as of `train`; several make a deep ensemble"
    )
    for command in (train, export):
        command.add_argument(
            "--method",
            choices=get_args(Method),
            default="masksembles",
            help="default masksembles; a deep ensemble is several trainings",
        )
        command.add_argument("--data", type=Path, metavar="PATH", help="the folder of the data set's files")
    other = export.add_argument_group(
        "a network from elsewhere", "with --data FILE.npz (inputs, labels) to calibrate on"
    )
    other.add_argument("--network", metavar="MODULE:FACTORY", help="called without arguments, gives a torch.nn.Module")
    other.add_argument("--input-shape", type=_shape, metavar="C,H,W", help="of one row")
    other.add_argument("--labels", type=lambda text: text.split(","), metavar="A,B,…", help="the classes in order")
    other.add_argument(
        "--normalise", type=_mean_and_std, metavar="MEAN/STD", help="a number or one a channel: 0.5,0.4/1"
    )
    other.add_argument("--range", type=_range, metavar="LOW,HIGH", help="of input values; the service refuses others")
    other.add_argument("--layout", metavar="BCHW", help="a letter for each axis of pictures, to be posted as files")
    other.add_argument("--colour", choices=["grey", "rgb"], help="of pictures")
    other.add_argument("--resize", choices=["stretch", "crop"], help="make pictures of another size fit")
    other.add_argument("--mc-dropout", type=_positive, metavar="N", help="freeze its dropout into so many submodels")
    other.add_argument("--seed", type=int, default=0, help="of those masks")
    compiler = export.add_argument_group("the compiler")
    compiler.add_argument(
        "--target",
        type=_targets,
        default=("cpu",),
        help="devices that may get a plan of their own: cpu (default), cuda",
    )
    compiler.add_argument("--plan", choices=["folded", "branches", "grouped"], help="force a plan for them")
    compiler.add_argument("--tune", action="store_true", help="choose it by measuring on this machine")
    compiler.add_argument("--half", action="store_true", help="float16 for everything before the last layer")

    calibrate = commands.add_parser("calibrate", help="recalibrate a model of the store as a new version")
    calibrate.set_defaults(run=_calibrate)
    calibrate.add_argument("model", metavar="NAME:VERSION")
    evaluate = commands.add_parser("evaluate", help="measure a model of the store on test data")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("model", metavar="NAME[:VERSION]")
    evaluate.add_argument(
        "--corruptions", action="store_true", help="also on the test pictures made worse in nine ways"
    )
    for command in (export, calibrate):
        command.add_argument(
            "--policy",
            metavar="RULES",
            help='what to do with an answer, such as "reject energy>c99, defer entropy>r5": each threshold a number, '
            "pNN (percentile), cNN (promises a coverage of NN %%) or rNN (promises a risk of NN %%)",
        )
    for command in (calibrate, evaluate):
        command.add_argument(
            "--data",
            type=Path,
            metavar="PATH",
            help="an .npz file with inputs and labels, or the folder of the data set that the model was made with",
        )
    evidence = commands.add_parser(
        "evidence",
        help="train, export, measure and compare all methods; the same command goes on after an interruption",
    )
    evidence.set_defaults(run=_evidence)
    evidence.add_argument("study", choices=_STUDIES)
    evidence.add_argument("--quick", action="store_true", help="one seed and fewer points")
    evidence.add_argument("--data", type=Path, metavar="PATH", help="the folder of the data set's files")
    evidence.add_argument("--folder", type=Path, help="for checkpoints and models, default models/checkpoints/evidence")
    evidence.add_argument("--results", type=Path, help="for tables and pictures, default models/evidence/results")
    evidence.add_argument("--readme", type=Path, metavar="FILE", help="put the tables between their marks in this file")
    evidence.add_argument("--ship", action="store_true", help="put the models with the first seed into the store")
    for command in (export, calibrate, evaluate, evidence):
        command.add_argument("--store", type=Path, default=artefact.STORE, help="default models/store")
    return parser


if __name__ == "__main__":
    sys.exit(main())
