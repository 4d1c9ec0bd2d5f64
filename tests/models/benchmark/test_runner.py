"""A whole study on small files: with processes as users run it, and within this one to see what is done anew."""

import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.engine import verifier_child
from models import artefact, runtime
from models.benchmark import cache, cost, report, runner
from models.benchmark.studies import (
    BENCHMARKS,
    CIFAR_10,
    FASHION_MNIST,
    IMAGENET,
    SINUSOIDS,
    Entry,
    RecipeStudy,
)  # fmt: skip
from models.data import DatasetError
from models.data import corrupted as corrupted_module
from models.data.corruptions import KINDS
from models.evaluation import adequacy
from models.evaluation.classifier_figures import DETECTORS
from models.evaluation.tasks.classification import ClassificationEvaluator
from models.training.recipe import DEFAULTS
from models.training.teachers import Teachers
from models.training.trainer import CheckpointError, load
from tests.models import official
from tests.once import Once

pytestmark = pytest.mark.slow
SINGLE, _, MASKED, ENSEMBLE, NEAR = COMPARED = (
    Entry("single", seeds=(0,)),
    Entry("mc-dropout", seeds=(0,)),
    Entry("masksembles", 2.0, seeds=(0,)),
    Entry("deep-ensemble", seeds=(0,)),
    Entry("single", held_out=True, seeds=(0,)),
)
SMALL = {"network": "mlp", "options": {"hidden": [32]}, "epochs": 4, "rows": 200, "batch_size": 20}
STUDY = replace(FASHION_MNIST, compared=COMPARED, settings={**FASHION_MNIST.settings, **SMALL}, corrupted_rows=20)
ALONE = replace(STUDY, compared=(SINGLE,))
IN_PROCESSES = runner._all
Done = tuple[Path, dict[str, list[dict[str, Any]]]]


def clothing(folder: Path, part: str, count: int) -> None:
    """Every class has a pattern of its own, under noise; every fiftieth label is wrong, so that nobody is too sure."""
    patterns = np.random.default_rng(0).integers(0, 160, (10, 28, 28))
    rng = np.random.default_rng(count)
    kinds = rng.integers(0, 10, count, np.uint8)
    pixels = patterns[kinds] + rng.integers(0, 96, (count, 28, 28))
    kinds[::50] = (kinds[::50] + 1) % 10
    official.fashion_mnist(folder, part, pixels.astype(np.uint8), kinds)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    clothing(folder, "train", 5300)
    clothing(folder, "t10k", 60)
    return folder


@pytest.fixture(scope="module")
def here() -> Iterator[dict[str, str]]:
    """Jobs run one after the other in this process, with one thread like those processes; what they said, by name."""
    said: dict[str, str] = {}

    def run(_: str, jobs: Mapping[str, tuple[Any, ...]]) -> None:
        for name, (function, *arguments) in jobs.items():
            if (found := function(*arguments)) is not None:
                said[name] = found

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "threads", 1)
        patch.setattr(runner, "_all", run)
        yield said
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def done(data: Path, here: dict[str, str], once: Once) -> Done:
    """A folder where the study is done, and its figures."""

    def do(folder: Path) -> None:
        found = runner.work(STUDY, folder / STUDY.data, data)
        assert not here  # there is nothing to say of what is done for the first time
        (folder / "figures.json").write_text(json.dumps(found))

    folder = once("study", do)
    return folder / STUDY.data, json.loads((folder / "figures.json").read_text())


@pytest.fixture
def uncalibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows without a meaning may calibrate: it is not looked at how well."""
    monkeypatch.setattr(adequacy, "LEAST_ROWS", 1)
    monkeypatch.setattr(ClassificationEvaluator, "check_calibration", lambda *_: [])


@pytest.fixture
def again(done: Done, here: dict[str, str], tmp_path: Path) -> Path:
    """A copy of that folder, to work in."""
    here.clear()
    shutil.copytree(done[0], tmp_path / "again")
    return tmp_path / "again"


def written(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def rounded(found: Any) -> Any:
    """To the digits that tables print."""
    return json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 4))


def test_every_entry_has_all_figures(done: Done) -> None:
    _, found = done
    assert list(found) == [entry.name for entry in COMPARED]
    assert [(one["method"], one["num_submodels"]) for (one,) in found.values()] == [
        ("single", 1), ("mc-dropout", 4), ("masksembles", 4), ("deep-ensemble", 4), ("single", 1),
    ]  # fmt: skip
    for entry in COMPARED:
        (one,) = found[entry.name]
        assert one["recipes"] == [recipe.plain() for recipe in STUDY.recipes(entry, 0)]
        assert list(one["ood"]) == (["held-out classes"] if entry.held_out else ["digits", "noise"])
        assert all(list(scores) == list(DETECTORS) for scores in one["ood"].values())
        assert list(one["corrupted"]) == ([] if entry.held_out else list(KINDS))
        assert all(len(severities) == 5 for severities in one["corrupted"].values())
        assert all(math.isfinite(one["test"][name]) for name in ("accuracy", "nll", "ece", "brier", "ece_uncalibrated"))
        assert (one["test"]["disagreement"] is None) == (entry.method == "single")
        assert one["test"]["nll"] != one["test"]["nll_uncalibrated"]
    single, ensemble = found[SINGLE.name][0], found[ENSEMBLE.name][0]
    assert ensemble["macs"] == 4 * single["macs"]
    assert ensemble["weights"] > 3.5 * single["weights"]
    assert ensemble["test"]["accuracy"] > 0.5


def test_what_is_done_is_not_done_again(done: Done, data: Path) -> None:
    folder, found = done
    before = written(folder)
    assert runner.work(STUDY, folder, data) == found
    assert written(folder) == before


def test_trained_by_processes_figures_are_the_same(
    done: Done, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner._all
    monkeypatch.setattr(runner, "_all", lambda what, jobs: (IN_PROCESSES if what == "train" else run)(what, jobs))
    found = runner.work(ALONE, tmp_path, data)
    assert rounded(found) == rounded({SINGLE.name: done[1][SINGLE.name]})


def test_networks_are_taught_by_those_that_were_trained_before(
    data: Path, again: Path, here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = Entry("masksembles", 2.0, "taught", seeds=(0,))
    variants = {**STUDY.variants, "taught": {"teachers": 4, "repeat": True}}
    study = replace(STUDY, compared=(taught, ENSEMBLE), variants=variants, corrupted_rows=0)
    stages: list[list[str]] = []
    run = runner._all

    def stage(what: str, jobs: Mapping[str, tuple[Any, ...]]) -> None:
        stages.append(sorted(jobs))
        run(what, jobs)

    monkeypatch.setattr(runner, "_all", stage)
    found = runner.work(study, again, data)
    assert stages[:2] == [[f"all-single-{seed}" for seed in range(4)], [f"{taught.name}-0"]]
    (one,) = found[taught.name]
    assert (one["recipes"][0]["teachers"], one["recipes"][0]["repeat"]) == (4, True)
    members = [load(again / f"all-single-{seed}.pt")[1] for seed in range(4)]
    (recipe,) = study.recipes(taught, 0)
    state = torch.load(again / f"{taught.name}-0.pt", weights_only=True)
    assert state["teachers"] == Teachers(recipe, members, torch.device("cpu")).digest
    assert one["corrupted"] == {}


def test_a_table_and_a_plot_tell_of_recipes(
    done: Done, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = RecipeStudy(**{field.name: getattr(STUDY, field.name) for field in fields(STUDY)} | {"title": "recipes"})
    monkeypatch.setattr(cost, "_ROUNDS", 1)
    shutil.copytree(done[0], tmp_path / "done" / "recipes")
    report.rebuild((study,), tmp_path / "done", tmp_path / "results", data)
    assert {file.name for file in (tmp_path / "results").iterdir()} == {
        "recipes.md", "recipes-scores.md", "price.png", "figures.json",
    }  # fmt: skip
    assert report.publish((study,), tmp_path / "done", tmp_path / "published") == []


def test_the_first_failure_ends_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_begin", None)
    begun = time.monotonic()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        IN_PROCESSES("fail", {"a": (os.stat, "nowhere"), **{str(index): (time.sleep, 1) for index in range(40)}})
    assert time.monotonic() - begun < 15


def test_a_process_that_is_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_begin", None)
    with pytest.raises(ChildProcessError, match="train: a process was ended from outside, perhaps for want of memory"):
        IN_PROCESSES("train", {"a": (os._exit, 9), "b": (time.sleep, 0)})


def test_processes_take_one_thread_and_no_more_of_them_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "threads", 0)
    before = torch.get_num_threads()
    monkeypatch.setattr(runner, "_has_gpu", lambda: True)
    runner._begin()
    assert runtime.threads == 0
    monkeypatch.setattr(runner, "_has_gpu", lambda: False)
    runner._begin()
    assert (runtime.threads, torch.get_num_threads()) == (1, 1)
    torch.set_num_threads(before)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert runner._cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert runner._cores() == os.cpu_count()


def test_a_data_set_of_other_classes_is_refused_before_training(
    data: Path, here: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="fashion-mnist: expected 9 classes, got 10"):
        runner.work(replace(STUDY, classes=9), tmp_path, data)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_study_goes_on_to_the_same_figures(
    done: Done, data: Path, again: Path, here: dict[str, str]
) -> None:
    lost = [f"{MASKED.name}-0.pt", f"{MASKED.name}-0.json", f"{ENSEMBLE.name}-0.json"]
    for name in lost:
        (again / name).unlink()
    shutil.rmtree(runner.repository(again) / f"{MASKED.name}-0" / "1")  # the folder of the model stays
    (again / f"{ENSEMBLE.name}-0.part").write_text("{")
    before = written(again)
    assert rounded(runner.work(STUDY, again, data)) == rounded(done[1])
    after = written(again)
    assert {name for name in after if after[name] != before.get(name)} == {
        *lost, f"{MASKED.name}-0.model.json", f"repository/{MASKED.name}-0/1/model.onnx",
    }  # fmt: skip
    assert not here


def test_a_checkpoint_of_another_recipe_is_refused_until_it_is_removed(
    done: Done, data: Path, again: Path, here: dict[str, str]
) -> None:
    other = replace(ALONE, settings={**STUDY.settings, "rows": 100})
    with pytest.raises(CheckpointError, match=r"all-single-0\.pt was made by another recipe \(rows 200, asked for 100"):
        runner.work(other, again, data)
    (again / "all-single-0.pt").unlink()
    assert runner.work(other, again, data)[SINGLE.name] != done[1][SINGLE.name]
    _, contract, _ = artefact.read(runner.repository(again), "all-single-0", 1)
    assert contract.origin.recipe["rows"] == 100
    assert "exported anew: recipes.0.rows was 200, is 100; checkpoints.0 was " in here["all-single-0"]
    assert "; measured anew: model was " in here["all-single-0"]


def test_a_checkpoint_of_other_rows_is_refused(data: Path, again: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    clothing(tmp_path / "data", "train", 5301)
    with pytest.raises(CheckpointError, match=r"all-single-0\.pt was trained on other rows of fashion-mnist"):
        runner.work(ALONE, again, tmp_path / "data")
    near = replace(STUDY, compared=(NEAR,), held_out=("bag", "sneaker"))  # as many classes: the recipe is the same
    with pytest.raises(CheckpointError, match=r"near-single-0\.pt was trained on other rows"):
        runner.work(near, again, data)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"corrupted_rows": 10}, "corrupted.rows was 20, is 10"),
        ({"family": "imagenet"}, "corrupted.amounts.gaussian_noise.0 was 0.04, is 0.08; "),
    ],
)
def test_what_was_measured_otherwise_is_measured_anew(
    done: Done, data: Path, again: Path, here: dict[str, str], change: dict[str, Any], reason: str
) -> None:
    before = written(again)
    found = runner.work(replace(ALONE, **change), again, data)
    assert here["all-single-0"].startswith(f"measured anew: {reason}")
    (old,), (new,) = done[1][SINGLE.name], found[SINGLE.name]
    assert {name for name in new if new[name] != old[name]} == {"corrupted"}
    after = written(again)
    assert {name for name in after if after[name] != before[name]} == {"all-single-0.json"}
    here.clear()
    assert runner.work(replace(ALONE, **change), again, data) == found
    assert not here


def test_other_ood_inputs_are_measured_anew(
    done: Done, data: Path, again: Path, here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.data.ood._NOISE_ROWS", 30)
    (found,) = runner.work(ALONE, again, data)[SINGLE.name]
    assert re.fullmatch(r"measured anew: ood\.noise was [0-9a-f]{8}…, is [0-9a-f]{8}…", here["all-single-0"])
    old = done[1][SINGLE.name][0]["ood"]
    assert [name for name in old if old[name] != found["ood"][name]] == ["noise"]


def test_other_test_rows_are_measured_anew(data: Path, again: Path, here: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    clothing(tmp_path / "data", "t10k", 61)
    runner.work(ALONE, again, tmp_path / "data")
    assert re.match(r"exported anew: evaluation was .*; measured anew: model was .*; test was ", here["all-single-0"])
    assert artefact.read(runner.repository(again), "all-single-0", 1)[1].head.evaluation.rows == 61


def test_figures_of_another_library_or_an_earlier_form_are_measured_anew(
    data: Path, again: Path, here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = again / "all-single-0.json"
    figures = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in figures.items() if name != "key"}))
    runner.work(ALONE, again, data)
    assert "measured anew: model was absent, is " in here["all-single-0"]
    now = cache.versions()
    monkeypatch.setattr(runner, "versions", lambda: {**now, "scipy": "99.0"})
    runner.work(ALONE, again, data)
    changed = f"versions.scipy was {now['scipy']}, is 99.0"
    assert here["all-single-0"].startswith(f"exported anew: {changed}; measured anew: ")
    assert here["all-single-0"].endswith(changed)


def test_tables_pictures_and_models_come_of_it(
    done: Done, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = replace(SINUSOIDS, compared=SINUSOIDS.compared[:1], settings={"epochs": 2})
    monkeypatch.setattr(cost, "_ROUNDS", 1)
    results, published = tmp_path / "results", tmp_path / "published"
    folder = shutil.copytree(done[0].parent, tmp_path / "done")
    pages = report.rebuild((STUDY, path), folder, results, data)
    tables = {file.stem: file.read_text() for file in results.glob("*.md")}
    assert tables.keys() == {"predictive", "severities", "ood", "sinusoids", "seconds"}
    assert sorted(pages) == sorted(tables.values())
    assert all(entry.label in tables[name] for entry in COMPARED for name in ("predictive", "severities", "ood"))
    assert "held-out classes" in tables["ood"]
    for name in ("severity", "transition", "sinusoids"):
        assert (results / f"{name}.png").stat().st_size > 5000
    figures = json.loads((results / "figures.json").read_text())
    assert list(figures["sinusoids"]["sinusoids-single"]) == ["accuracy", "far_correlation", "far_entropy", "label"]
    assert list(figures["entries"]) == sorted(entry.name for entry in COMPARED)
    assert figures["seconds"][f"{SINGLE.name}-0"] == {"1": 1.0, "16": 1.0, "64": 1.0}

    methods = [f"fashion-mnist-{entry.method}" for entry in COMPARED[:4]]
    for version in ("1", "2"):
        assert report.publish((STUDY, path), folder, published) == [*methods, "sinusoids-single"]
        assert sorted(folder.name for folder in published.iterdir()) == sorted([*methods, "sinusoids-single"])
        for file in published.glob(f"*/{version}/*.onnx"):
            assert "contract" in verifier_child.examine(file.read_bytes())


@pytest.mark.parametrize(("name", "masked"), [("fashion-mnist", "s2"), ("cifar-10", "s2"), ("imagenet", "s2.17")])
def test_one_model_of_each_method_is_published(tmp_path: Path, tiny_repository: Path, name: str, masked: str) -> None:
    tiny, contract, _ = artefact.read(tiny_repository, "tiny")
    for study in BENCHMARKS[name]:
        for entry in study.compared:
            origin = contract.origin.model_copy(update={"recipe": {"name": f"{entry.name}-0"}})
            artefact.embed(tiny, contract.model_copy(update={"origin": origin}))
            artefact.write(tiny, runner.repository(tmp_path / study.data), f"{entry.name}-0")
    published = report.publish(BENCHMARKS[name], tmp_path, tmp_path / "published")
    found = {name: artefact.read(tmp_path / "published", name, 1)[1].origin.recipe["name"] for name in published}
    assert sorted(found) == sorted(path.name for path in (tmp_path / "published").iterdir())
    assert not list((tmp_path / "published").glob("*/2"))
    wanted = ["single", "mc-dropout", f"masksembles-{masked}-width", "deep-ensemble"]
    assert [found[f"{name}-{method}"] for method in ("single", "mc-dropout", "masksembles", "deep-ensemble")] == [
        f"all-{method}-0" for method in wanted
    ]
    assert len(found) == 4 + len(SINUSOIDS.compared) * (name == "fashion-mnist")


@pytest.mark.usefixtures("uncalibrated")
def test_cifar_10_with_its_corrupted_form_and_house_numbers(
    tmp_path: Path, here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.data.ood._NOISE_ROWS", 20)
    rng = np.random.default_rng(0)
    for name in official.CIFAR_10:
        batch = rng.integers(0, 256, (20, 3, 32, 32), np.uint8), rng.integers(0, 10, 20, np.uint8)
        (tmp_path / f"{name}.bin").write_bytes(official.cifar_10_binary(*batch))
    corrupted, labels = rng.integers(0, 256, (10, 32, 32, 3), np.uint8), np.repeat(np.arange(5, dtype=np.uint8), 2)
    official.cifar_10_c(tmp_path / "CIFAR-10-C", ("fog", "frost"), corrupted, labels)
    official.svhn(tmp_path, np.zeros((7, 3, 32, 32), np.uint8))
    settings = {"epochs": 1, "options": {"depth": 10, "widening": 1}}
    study = replace(CIFAR_10, compared=(SINGLE,), settings=settings)
    found = runner.work(study, tmp_path / "work", tmp_path)
    ((one,),) = found.values()
    assert (list(one["corrupted"]), list(one["ood"])) == (["fog", "frost"], ["SVHN", "noise"])

    def anew() -> str:
        corrupted_module._contents.cache_clear()
        here.clear()
        runner.work(study, tmp_path / "work", tmp_path)
        return here.get("all-single-0", "")

    assert anew() == ""
    official.cifar_10_c(tmp_path / "CIFAR-10-C", ("fog", "frost"), corrupted[::-1].copy(), labels)
    assert re.fullmatch(r"measured anew: corrupted\.files was \w{8}…, is \w{8}…", anew())
    official.svhn(tmp_path, np.ones((7, 3, 32, 32), np.uint8))
    assert re.fullmatch(r"measured anew: ood\.SVHN was \w{8}…, is \w{8}…", anew())


@pytest.mark.usefixtures("uncalibrated")
def test_imagenet_is_read_lazily_throughout(
    tmp_path: Path, here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.data.ood._NOISE_ROWS", 4)
    for number, synset in enumerate(("n01", "n02")):
        for index in range(20):
            official.picture(tmp_path / "train" / synset / f"{index}.JPEG", seed=100 * number + index)
        official.picture(tmp_path / "val" / synset / "0.JPEG", seed=number)
        for severity in range(1, 6):
            official.picture(tmp_path / "ImageNet-C" / "fog" / str(severity) / synset / "0.JPEG", 224, 224)
    small = {"epochs": 1, "network": "mlp", "options": {"hidden": [8]}}
    monkeypatch.setitem(DEFAULTS, "imagenet", {**DEFAULTS["imagenet"], **small})
    study = replace(IMAGENET, compared=(SINGLE,), classes=2)
    found = runner.work(study, tmp_path / "work", tmp_path)
    ((one,),) = found.values()
    assert (list(one["corrupted"]), list(one["ood"])) == (["fog"], ["noise"])
