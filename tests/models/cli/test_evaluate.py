"""`python -m models evaluate`, within this process."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from models import artefact, runtime
from models.__main__ import main
from models.benchmark.cost import macs
from models.data import Dataset


@pytest.fixture
def store(digits_repository: Path, tmp_path: Path) -> Path:
    """With digits:1, and digits:2 without what its plan costs, as older files are."""
    store = tmp_path / "store"
    shutil.copytree(digits_repository, store)
    model, contract, _ = artefact.read(store, "digits", 1)
    artefact.embed(model, contract.model_copy(update={"compilation": None}))
    artefact.write(model, store, "digits", 2)
    return store


@pytest.fixture
def few(digits: Dataset, tmp_path: Path) -> Path:
    """An .npz file with 30 test rows."""
    path = tmp_path / "few.npz"
    np.savez(path, inputs=digits.test.inputs[:30], labels=digits.test.labels[:30])
    return path


def evaluate(store: Path, data: Path, *arguments: str | Path) -> int:
    return main(["evaluate", "--repository", str(store), "--data", str(data), *map(str, arguments)])


def test_costs_are_told_where_they_are_known(
    store: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "new" / "found.json"
    assert evaluate(store, few, "digits:1", "--json", written, "--figures", tmp_path / "a" / "b") == 0
    contracts = [artefact.read(store, "digits", 1)[1]]
    contracts += [planned for _, planned in artefact.read_plans(store, "digits", 1).values()]
    assert contracts[0].compilation is not None
    cost = min(one.compilation.macs for one in contracts if one.compilation) / contracts[0].compilation.macs_single
    printed = capsys.readouterr().out
    assert f"digits:1: {cost:.2f} of the multiply-accumulates of one pass through its network without" in printed
    assert re.search(r"90 % prediction sets: contain the true class in \d+\.\d % of 30 rows, and 1\.\d\d cl", printed)
    assert json.loads(written.read_text())["digits:1"]["cost"] == cost
    assert (tmp_path / "a" / "b" / "digits-1.png").exists()

    assert evaluate(store, few, "digits:2", "--json", written) == 0
    report = json.loads(written.read_text())["digits:2"]
    assert (report["macs"], report.get("cost")) == (None, None)
    assert "multiply-accumulates" not in capsys.readouterr().out
    shutil.copytree(store / "digits" / "1", store / "digits" / "3")
    assert evaluate(store, few, "digits:3", "digits:1") == 0
    assert "digits:1: 1.00 of the multiply-accumulates of the first" in capsys.readouterr().out


def test_nothing_is_measured_in_vain(
    store: Path, tiny_repository: Path, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_repository / "tiny", store / "tiny")
    (tmp_path / "file").touch()
    for arguments, message in (
        (["digits", "tiny", "--corruptions"], "only images can be corrupted"),
        (["digits", "--json", tmp_path], "Is a directory"),
        (["digits", "--json", tmp_path / "file" / "x.json"], "file"),
        (["digits", "--figures", tmp_path / "file"], "exists"),
        (["digits", "cats"], "holds no model 'cats'"),
    ):
        assert evaluate(store, few, *arguments) == 1
        said = capsys.readouterr()
        assert (said.out, message in said.err) == ("", True)


def test_what_is_measured_is_the_plan_for_the_cpu(
    store: Path, few: Path, digits: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, contract, _ = artefact.read(store, "digits", 1)
    other, _, _ = artefact.read(store, "digits", 1)
    for tensor in other.graph.initializer:
        if tensor.name.endswith("weight"):
            tensor.raw_data = bytes(len(tensor.raw_data))
    artefact.embed(other, contract.model_copy(update={"plan": "folded"}))
    artefact.write(model, store, "digits", 3, {"cpu": other})
    found = runtime.served(model, artefact.read_plans(store, "digits", 3))
    assert found.SerializeToString() == artefact.read_plans(store, "digits", 3)["cpu"][0].SerializeToString()
    assert evaluate(store, few, "digits:1", "digits:3", "--json", tmp_path / "x.json") == 0
    reports = json.loads((tmp_path / "x.json").read_text())
    one, three = (reports[name]["test"]["accuracy"] for name in ("digits:1", "digits:3"))
    assert one > 0.8
    assert three < 0.5
    assert reports["digits:3"]["outcome"]["clean"]["error"] == [pytest.approx(1 - three)]


def test_no_contract_tells_what_a_row_costs(digits_repository: Path) -> None:
    contract = artefact.read(digits_repository, "digits", 1)[1].model_copy(update={"compilation": None})
    assert macs([contract, contract]) is None
