"""The workshop's commands, from what is typed to what is stored or refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.contract.calibration import Threshold
from app.contract.head import Target
from app.contract.schema import Contract
from models import artefact, runtime
from models.__main__ import main
from models.cli.rows import data_of
from models.data import Dataset, DatasetError
from tests.models.cli.member import MEMBER, train
from tests.models.export.networks import plain


def test_a_deep_ensemble_is_exported_whole_or_not_at_all(
    digits: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = folder / "repository"
    export = ["export", "digits", "--method", "deep-ensemble", "--policy", "none", "--repository", str(repository)]

    def refused() -> str:
        assert main(export) == 1
        assert not repository.exists()
        return capsys.readouterr().err

    def path(number: int) -> Path:
        return folder / f"digits-deep-ensemble-{number}.pt"

    assert "digits-deep-ensemble-1.pt: no such checkpoint" in refused()
    for number in (1, 2, 4):
        train(replace(MEMBER, seed=number), digits, path(number))
    assert "1.pt belongs to a deep ensemble of 3: digits-deep-ensemble-3.pt is missing, digits-deep-e" in refused()
    path(4).rename(path(3))
    train(replace(MEMBER, seed=5), digits, path(10))
    assert "of 3: digits-deep-ensemble-10.pt is one too many" in refused()
    path(10).unlink()
    state = torch.load(path(3))
    torch.save({**state, "epochs_done": 0}, path(3))
    assert "3.pt: training stopped after 0 of 1 epochs" in refused()
    torch.save(state, path(3))
    assert main(export) == 0
    contract = artefact.read(repository, "digits-deep-ensemble")[1]
    assert (contract.num_submodels, contract.head.policy) == (3, None)
    assert contract.origin.recipe["seeds"] == [1, 2, 4]


def test_networks_of_several_trainings_are_no_deep_ensemble(
    digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = {
        "again": MEMBER,
        "masked": replace(MEMBER, method="masksembles", seed=1),
        "wider": replace(MEMBER, options={"hidden": [17]}, batch_size=500, seed=1),
    }
    train(MEMBER, digits, tmp_path / "first.pt")
    for name, recipe in others.items():
        train(recipe, digits, tmp_path / f"{name}.pt")
    for name, message in (
        ("again", "again.pt: the networks of a deep ensemble differ in the seed, got 0 again"),
        ("masked", "masked.pt: a deep ensemble is made of networks of the method single, got masksembles"),
        ("wider", "wider.pt: the networks of a deep ensemble differ in the seed alone, got another options, batch_"),
    ):
        files = [str(tmp_path / f"{file}.pt") for file in ("first", name)]
        assert main(["export", "digits", "--repository", str(tmp_path / "repository"), "--checkpoint", *files]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()


FACTORY = "tests.models.export.networks:plain"


def export_theirs(repository: Path, *more: object, factory: str = FACTORY) -> int:
    command = ["export", "--network", factory, "--input-shape", "6", "--labels", "a,b,c", "--name", "theirs"]
    return main([*command, "--repository", str(repository), *map(str, more)])


def test_random_weights_are_not_published_by_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(plain().state_dict(), tmp_path / "a.pt")
    for more in ((), ("--checkpoint", tmp_path / "a.pt", "--no-checkpoint")):
        assert export_theirs(tmp_path / "repository", *more) == 1
        assert "--checkpoint: give the trained weights, or --no-checkpoint if" in capsys.readouterr().err
    assert main(["export", "digits", "--no-checkpoint"]) == 1
    assert "--no-checkpoint goes with --network" in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()
    assert export_theirs(tmp_path / "repository", "--no-checkpoint") == 0
    assert artefact.read(tmp_path / "repository", "theirs")[1].method == "single"


def test_a_range_may_be_one_pair_or_one_for_each_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ranges = ["-1,1", "0,1", "0,1", "0,1", "0,1", "900,1100"]
    assert export_theirs(tmp_path, "--no-checkpoint", f"--value-range={'/'.join(ranges)}") == 0
    (given,) = artefact.read(tmp_path, "theirs")[1].inputs
    assert given.channel_ranges == ((-1, 1), (0, 1), (0, 1), (0, 1), (0, 1), (900, 1100))
    assert given.range == (-1, 1100)
    assert export_theirs(tmp_path, "--no-checkpoint", "--value-range=0,1/0,2") == 1
    assert "expected one pair, or one for each of 6 channels, got 2" in capsys.readouterr().err
    for wrong in ("0", "0,1/2", "a,b", "0,1,2"):
        with pytest.raises(SystemExit):
            export_theirs(tmp_path, "--no-checkpoint", f"--value-range={wrong}")
        assert "expected LOW,HIGH, such as 0,1, or one a channel" in capsys.readouterr().err


def test_features_have_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_theirs(tmp_path, "--no-checkpoint", "--features", "a,b,c,d,e,f") == 0
    assert artefact.read(tmp_path, "theirs")[1].given.features == ("a", "b", "c", "d", "e", "f")
    assert export_theirs(tmp_path, "--no-checkpoint", "--features", "a,b") == 1
    assert "features must name each of an input [B, 2]" in capsys.readouterr().err
    assert main(["export", "digits", "--features", "a,b"]) == 1
    assert "--features goes with --network; the data set says it here" in capsys.readouterr().err


def words() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(4, 8), torch.nn.Flatten(), torch.nn.Linear(40, 3)).eval()


def test_ids_have_symbols_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "symbols.txt").write_text("\n?\na\nß\n", "utf-8")
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 4, (60, 5))
    logits = words()(torch.from_numpy(ids)).detach().numpy()
    np.savez(tmp_path / "rows.npz", inputs=ids, labels=(logits - logits.mean(axis=0)).argmax(axis=-1))
    options = ["--input-shape", "5", "--value-range", "0,3", "--symbols", str(tmp_path / "symbols.txt")]
    factory = ["--network", "tests.models.cli.test_commands:words", "--no-checkpoint", "--labels", "a,b,c"]
    where = ["--data", str(tmp_path / "rows.npz"), "--name", "words", "--repository", str(tmp_path / "repository")]
    assert main(["export", *factory, *options, *where]) == 0
    assert artefact.read(tmp_path / "repository", "words")[1].given.symbols == ("", "?", "a", "ß")


def test_several_checkpoints_of_a_network_from_elsewhere_are_a_deep_ensemble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = [plain() for _ in range(3)]
    files = [tmp_path / f"{number}.pt" for number in range(3)]
    for network, file in zip(networks, files):
        torch.save(network.state_dict(), file)
    repository = tmp_path / "repository"
    assert export_theirs(repository, "--checkpoint", files[0], files[0]) == 1
    assert "got the same file twice" in capsys.readouterr().err
    assert export_theirs(repository, "--checkpoint", *files, factory="tests.models.export.networks:same") == 1
    assert "must make a new network with each call" in capsys.readouterr().err
    assert export_theirs(repository, "--checkpoint", *files) == 0
    model, contract, _ = artefact.read(repository, "theirs")
    assert (contract.method, contract.num_submodels) == ("deep-ensemble", 3)
    rows = torch.randn(4, 6)
    expected = torch.stack([network(rows).detach() for network in networks], dim=1)
    np.testing.assert_allclose(runtime.run(model, rows.numpy(), ["logits"])["logits"], expected, atol=1e-5)


def test_guarantees_that_are_asked_for(digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 150 rows: ⌈151 · 0.97⌉ = 147."""
    train(replace(MEMBER, epochs=15, batch_size=64, options={}), digits, tmp_path / "a.pt")
    policy = ["--policy", "reject energy>c97, defer entropy>r20"]
    export = ["export", "digits", "--checkpoint", str(tmp_path / "a.pt"), "--repository", str(tmp_path / "repository")]
    guarantees = ["--coverages", "0.8,0.97", "--risks", "0.2"]
    for wanted, message in (
        (["--coverages", "0,0.9"], "coverages: expected different numbers between 0 and 1, got 0.0, 0.9"),
        (["--coverages", "0.9,0.9"], "coverages: expected different numbers between 0 and 1, got 0.9, 0.9"),
        (["--risks", "1"], "risks: expected different numbers between 0 and 1, got 1.0"),
        (["--risks", "nan"], "risks: expected different numbers between 0 and 1, got nan"),
    ):
        assert main([*export, *wanted]) == 1
        assert message in capsys.readouterr().err
    assert main([*export, *policy, *guarantees]) == 0
    calibrate = ["calibrate", "digits-single:1", "--repository", str(tmp_path / "repository"), "--policy"]
    assert main([*calibrate, "defer entropy>c30", "--coverages", "1.5"]) == 1
    assert "coverages: expected different" in capsys.readouterr().err
    assert main([*calibrate, "defer entropy>c30", "--coverages", "0.3"]) == 0
    first, second = (artefact.read(tmp_path / "repository", "digits-single", version)[1] for version in (1, 2))
    assert {(one.guarantee, one.target) for one in guaranteed(first)} == {
        ("coverage", 0.8),
        ("coverage", 0.97),
        ("risk", 0.2),
    }
    assert first.head.calibration is not None
    assert [one.coverage for one in first.head.calibration.prediction_sets] == [0.8, 0.97]
    assert first.head.policy is not None
    values = {(one.score, one.guarantee, one.target): one.value for one in guaranteed(first)}
    assert [rule.threshold for rule in first.head.policy.rules] == [
        values["energy", "coverage", 0.97],
        values["entropy", "risk", 0.2],
    ]
    assert {one.target for one in guaranteed(second) if one.guarantee == "coverage"} == {0.3}
    assert {one.target for one in guaranteed(second) if one.guarantee == "risk"} <= {0.01, 0.05, 0.1}


def guaranteed(contract: Contract) -> tuple[Threshold, ...]:
    assert contract.head.calibration is not None
    return contract.head.calibration.thresholds


def test_one_seed_is_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "results.md"
    assert main(["benchmark", "fashion-mnist", "--quick", "--page", str(page)]) == 1
    assert "--quick, --page" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"targets": np.array(["weight", "height"])}, "targets: expected 'height' of height, got 'weight'"),
        ({"units": np.array(["m", "lb"])}, "units: expected 'kg' of weight, got 'lb'"),
        ({"targets": np.array(["height", "weight"]), "units": np.array(["m", "kg"])}, None),
        ({}, None),
    ],
)
def test_values_of_other_names_or_units_are_refused(
    arrays: dict[str, Any], message: str | None, tmp_path: Path, digits_repository: Path
) -> None:
    contract = artefact.read(digits_repository, "digits")[1]
    targets = (Target(name="height", unit="m"), Target(name="weight", unit="kg"))
    contract = contract.with_head(contract.head, targets=targets, labels=())
    path = tmp_path / "mine.npz"
    np.savez(path, inputs=np.ones((3, 2)), labels=np.ones((3, 2)), **arrays)
    if message is None:
        assert len(data_of(path, "people", contract).calibration) == 3
        return
    with pytest.raises(DatasetError, match=message):
        data_of(path, "people", contract)


def any_size() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3)
    ).eval()


FREE = ["export", "--network", "tests.models.cli.test_commands:any_size", "--no-checkpoint", "--labels", "a,b,c"]


def test_letters_stand_for_axes_of_free_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--input-shape", "1,H,W", "--name", "free", "--repository", str(tmp_path / "repository")]
    assert main([*FREE, *shape, "--axis", "H=8:64:4"]) == 1
    assert "--axis: --input-shape has the letter W, say its bounds: --axis W=LEAST:MOST" in capsys.readouterr().err
    assert main([*FREE, *shape, "--axis", "H=8:64:4", "--axis", "W=8:50"]) == 0
    contract = artefact.read(tmp_path / "repository", "free")[1]
    assert contract.inputs[0].shape == ("B", 1, "H", "W")
    found = {letter: (axis.least, axis.most, axis.multiple_of) for letter, axis in contract.axes.items()}
    assert found == {"H": (8, 64, 4), "W": (8, 50, 1)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("H=8", "expected LETTER=LEAST:MOST[:MULTIPLE], such as H=32:1024:8, got 'H=8'"),
        ("h=8:9", "expected LETTER=LEAST:MOST"),
        ("H=9:8", "H=9:8: Value error, least must not be above most"),
        ("H=8:9:4", "least and most must be multiples of 4"),
    ],
)
def test_bounds_of_axes_are_numbers_that_fit(given: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*FREE, "--axis", given])
    assert message in capsys.readouterr().err
