"""What people have: dense answers of free size, several heads and inputs, tokens; each against a plain torch loop."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.contract.axis import FreeAxis, Padding
from app.contract.schema import Contract
from models import artefact, runtime
from models.export import ExportOptions, HeadOptions, InputOptions, export
from models.layers import DeepEnsemble, Masksembles1d, Masksembles2d
from models.networks.unet import unet
from tests.models.export.by_loop import assert_agrees

H, W = FreeAxis(least=16, most=96, multiple_of=8), FreeAxis(least=16, most=64, multiple_of=8)
T = FreeAxis(least=1, most=40, padding=Padding(fill={"ids": 0}, mark="mask"))
CLASSES = ("road", "car", "sky")


class Scenes(nn.Module):
    """[B, 3, H, W] → two maps, one at an eighth, and a class of the whole picture that no mask reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 4, 1), nn.ReLU())
        self.mask, self.up = Masksembles2d(16, 4, 2.0, seed=0), nn.ConvTranspose2d(16, 8, 8, 8)
        self.cells, self.depth, self.kind = nn.Conv2d(16, 3, 1), nn.Conv2d(16, 2, 1), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.first(x).relu()
        coarse = self.down(fine)
        masked = self.mask(coarse)
        cells = self.cells(torch.cat([fine, self.up(masked)], dim=1))
        # not in the order of the heads
        return {"depth": self.depth(masked), "weather": self.kind(coarse.mean((2, 3))), "cells": cells}


class Both(nn.Module):
    """A picture and a table row, of which the row alone is masked, and both meet → a class and two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.read = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), Masksembles1d(16, 3, 2.0, seed=0), nn.Linear(16, 8))
        self.kind, self.size = nn.Linear(12, 3), nn.Linear(12, 4)

    def forward(self, picture: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([self.look(picture), self.read(row)], dim=1)
        return self.kind(joined), self.size(joined)


class Words(nn.Module):
    """Ids of tokens and which are real → a class; attention and a mean that leave padding out."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(30, 16), nn.Embedding(64, 16)
        between = nn.Dropout1d(dropout) if dropout else Masksembles1d(16, 4, 2.0, seed=0)
        self.attend, self.between = nn.MultiheadAttention(16, 2, batch_first=True), between
        self.last = nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.embed(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        x = self.between(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.attend(x, x, x, key_padding_mask=~mask.bool(), need_weights=False)[0]
        real = mask.to(x.dtype).unsqueeze(-1)
        answer: Tensor = self.last((x * real).sum(dim=1) / real.sum(dim=1))
        return answer


def seeded(made: Any, *arguments: Any, **named: Any) -> Any:
    torch.manual_seed(0)
    return made(*arguments, **named).eval()


def exported(
    network: Any, example: Tensor | Mapping[str, Tensor], options: ExportOptions, repository: Path
) -> tuple[Any, Contract]:
    export(network, example, options, name="mine", repository=repository)
    model, contract, _ = artefact.read(repository, "mine", 1)
    return runtime.session(model), contract


SCENES = {
    "cells": HeadOptions(labels=CLASSES),
    "weather": HeadOptions(labels=("wet", "dry"), task="multilabel"),
    "depth": HeadOptions(targets=[("distance", "m")]),
}


SMALL = {"channels": 4, "depth": 1, "align": 1}


@pytest.mark.parametrize(("task", "fields"), [
    ("classification", {"labels": CLASSES}),
    pytest.param("multilabel", {"labels": CLASSES, "task": "multilabel"}, marks=pytest.mark.slow),
    pytest.param("regression", {"targets": [("x", "m"), ("y", "m"), ("z", "m")]}, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_unet_answers_for_every_cell(task: str, fields: dict[str, Any], tmp_path: Path) -> None:
    network = seeded(unet, (3, 16, 16), 3, **SMALL)
    options = ExportOptions(input_shape=(3, "H", "W"), axes={"H": H, "W": W}, plan="folded", **fields)
    session, contract = exported(network, torch.rand(2, 3, 32, 16), options, tmp_path)
    assert (contract.head.task, contract.head.grid) == (task, ("H", "W"))
    for batch, height, width in ((1, 16, 64), (2, 40, 24), (3, 96, 32)):
        assert_agrees(session, contract, network, {"input": torch.rand(batch, 3, height, width)})


@pytest.mark.slow
def test_a_grid_may_have_a_fixed_size_and_every_plan(tmp_path: Path) -> None:
    network = seeded(unet, (3, 16, 16), 3)
    path = export(network, torch.rand(2, 3, 16, 16), ExportOptions(labels=CLASSES, plan="branches"),
                  name="mine", repository=tmp_path)  # fmt: skip
    for file in path.parent.glob("*.onnx"):
        model, contract = artefact._read(file)
        assert contract.head.grid == (16, 16)
        assert_agrees(runtime.session(model), contract, network, {"input": torch.rand(3, 3, 16, 16)})
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["single", "mc-dropout", "deep-ensemble"])
def test_every_method_answers_for_steps_of_a_sequence(method: str, tmp_path: Path) -> None:
    def made() -> nn.Module:
        dropout = nn.Dropout1d(0.4) if method == "mc-dropout" else nn.Identity()
        return nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.ReLU(), dropout, nn.Conv1d(8, 1, 3, padding=1)).eval()

    networks = [made(), made()] if method == "deep-ensemble" else made()
    axes = {"T": FreeAxis(least=2, most=40)}
    frozen = 3 if method == "mc-dropout" else None
    options = ExportOptions(labels=("no", "yes"), input_shape=(3, "T"), axes=axes, mc_dropout=frozen)
    session, contract = exported(networks, torch.rand(2, 3, 12), options, tmp_path)
    assert (contract.method, contract.head.grid) == (method, ("T",))
    assert contract.num_submodels == {"single": 1, "mc-dropout": 3, "deep-ensemble": 2}[method]
    if method == "mc-dropout":
        assert session.run(["row_mutual_information"], {"input": torch.rand(2, 3, 9).numpy()})[0].min() > 0
        return
    network = DeepEnsemble(networks).eval() if isinstance(networks, list) else networks
    for batch, length in ((1, 2), (3, 31)):
        assert_agrees(session, contract, network, {"input": torch.rand(batch, 3, length)})


def test_several_heads_answer_by_their_names(tmp_path: Path) -> None:
    network = seeded(Scenes)
    options = ExportOptions(heads=SCENES, input_shape=(3, "H", "W"), axes={"H": H, "W": W}, plan="branches")
    session, contract = exported(network, torch.rand(2, 3, 32, 16), options, tmp_path)
    ((plan, planned),) = artefact.read_plans(tmp_path, "mine", 1).values()
    assert (planned.plan, planned.heads) == ("branches", contract.heads)
    grids = {head.name: (head.task, head.grid) for head in contract.heads}
    assert grids == {
        "cells": ("classification", ("H", "W")), "weather": ("multilabel", ()), "depth": ("regression", ("H/8", "W/8")),
    }  # fmt: skip
    names = [tensor.name for tensor in contract.outputs]
    assert {"cells.entropy", "cells.row_entropy", "weather.entropy", "depth.row_prediction"} < set(names)
    ordered = InOrderOf(network, list(SCENES))
    for batch, height, width in ((1, 16, 64), (3, 40, 24)):
        for opened in (session, runtime.session(plan)):
            assert_agrees(opened, contract, ordered.eval(), {"input": torch.rand(batch, 3, height, width)})
    found = session.run(
        ["weather.submodels", "weather.mutual_information"], {"input": torch.rand(2, 3, 16, 16).numpy()}
    )
    assert found[0].shape == (2, 4, 2)
    assert found[1].max() < 1e-6  # four equal submodels


class InOrderOf(nn.Module):
    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        answers = self.network(*inputs)
        return tuple(answers[name] for name in self.names)


BOTH = ExportOptions(
    inputs={
        "picture": InputOptions(layout="BCHW", colour="grey", normalise=(0.3, 0.5)),
        "row": InputOptions(value_range=[(0, 1)] * 4 + [(-5, 5)], normalise=([0, 0, 0, 0, 1], [1, 1, 1, 1, 2])),
    },
    heads={"kind": HeadOptions(labels=CLASSES), "size": HeadOptions(targets=[("x", "m"), ("y", "m")])},
)  # fmt: skip


class Scaled(nn.Module):
    """A network with the normalisation of `BOTH`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor, row: Tensor) -> tuple[Tensor, ...]:
        mean, std = torch.tensor([0, 0, 0, 0, 1.0]), torch.tensor([1, 1, 1, 1, 2.0])
        found: tuple[Tensor, ...] = self.network((picture.float() / 255 - 0.3) / 0.5, (row - mean) / std)
        return found


def pictures_and_rows(count: int) -> dict[str, Tensor]:
    return {"picture": torch.randint(0, 256, (count, 1, 9, 9), dtype=torch.uint8), "row": torch.rand(count, 5)}


@pytest.mark.parametrize("plan", ["folded", "branches", "grouped"])
def test_a_picture_and_a_table_row_give_two_answers(plan: Any, tmp_path: Path) -> None:
    network = seeded(Both)
    path = export(network, pictures_and_rows(2), replace(BOTH, plan=plan), name="mine", repository=tmp_path)
    for file in path.parent.glob("*.onnx"):
        model, contract = artefact._read(file)
        assert [(given.name, given.dtype) for given in contract.inputs] == [("picture", "uint8"), ("row", "float32")]
        for batch in (1, 2, 7):
            assert_agrees(runtime.session(model), contract, Scaled(network).eval(), pictures_and_rows(batch))
    assert len(list(path.parent.iterdir())) == (1 if plan == "folded" else 2)


def test_a_deep_ensemble_has_several_heads_and_inputs_too(tmp_path: Path) -> None:
    class Plain(Both):
        def __init__(self) -> None:
            super().__init__()
            self.read = nn.Sequential(nn.Linear(5, 8))

    members = [seeded(Plain), Plain().eval()]
    session, contract = exported(members, pictures_and_rows(2), BOTH, tmp_path)
    assert (contract.method, contract.num_submodels) == ("deep-ensemble", 2)
    for batch in (1, 3):
        assert_agrees(session, contract, DeepEnsemble(map(Scaled, members)).eval(), pictures_and_rows(batch))


WORDS = ExportOptions(
    labels=("en", "de", "fr"),
    inputs={"ids": InputOptions(shape=("T",), value_range=(0, 29)), "mask": InputOptions(shape=("T",))},
    axes={"T": T},
)


def words(count: int, length: int) -> dict[str, Tensor]:
    mask = torch.rand(count, length) < 0.7
    mask[:, 0] = True
    return {"ids": torch.randint(0, 30, (count, length)), "mask": mask}


def test_ids_of_tokens_with_a_mask_of_the_real_ones(tmp_path: Path) -> None:
    network = seeded(Words)
    session, contract = exported(network, words(2, 9), WORDS, tmp_path)
    assert [(given.name, given.dtype, given.shape) for given in contract.inputs] == [
        ("ids", "int64", ("B", "T")), ("mask", "bool", ("B", "T")),
    ]  # fmt: skip
    for batch, length in ((1, 1), (2, 5), (3, 40)):
        assert_agrees(session, contract, network, words(batch, length))


def test_dropout_of_tokens_is_frozen(tmp_path: Path) -> None:
    session, contract = exported(seeded(Words, 0.4), words(2, 9), replace(WORDS, mc_dropout=3), tmp_path)
    assert (contract.method, contract.num_submodels) == ("mc-dropout", 3)
    feed = {name: x.numpy() for name, x in words(2, 7).items()}
    assert session.run(["mutual_information"], feed)[0].max() > 1e-4


class Careless(Words):
    """Averages over padding, too."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.between(self.embed(ids).transpose(1, 2))
        answer: Tensor = self.last(x.mean(dim=2) + 0 * mask.sum(dim=1, keepdim=True))
        return answer


def test_a_network_whose_answers_depend_on_padding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(artefact.ArtefactError, match=r"axes\.T\.padding: .* of rows of T = 1 differs by .* padded to"):
        export(seeded(Careless), words(2, 9), WORDS, name="mine", repository=tmp_path)
    assert not list(tmp_path.iterdir())


class Named(nn.Module):
    """Operations that torch names as its inputs are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mask, self.last = nn.Linear(3, 8), Masksembles1d(8, 4, 2.0, seed=0), nn.Linear(8, 3)

    def forward(self, linear: Tensor, add: Tensor, on: Tensor) -> Tensor:
        # functional dropout, and a number a row
        dropped = nn.functional.dropout(self.first(linear) + add, 0.3, training=self.training)
        answer: Tensor = self.last(self.mask(dropped) * on.unsqueeze(1))
        return answer


def test_inputs_may_have_names_of_operations(tmp_path: Path) -> None:
    def given(count: int) -> dict[str, Tensor]:
        return {"linear": torch.rand(count, 3), "add": torch.rand(count, 8), "on": torch.rand(count)}

    network = seeded(Named)
    options = ExportOptions(labels=CLASSES, inputs=dict.fromkeys(("linear", "add", "on"), InputOptions()))
    session, contract = exported(network, given(2), options, tmp_path)
    assert [one.name for one in session.get_inputs()] == ["linear", "add", "on"]
    for batch in (1, 3):
        assert_agrees(session, contract, network, given(batch))


def test_calls_of_dropout_are_frozen_with_several_inputs(tmp_path: Path) -> None:
    class Calls(Named):
        def __init__(self) -> None:
            super().__init__()
            self.mask = nn.Identity()  # type: ignore[assignment]

    options = ExportOptions(labels=CLASSES, inputs=dict.fromkeys(("linear", "add", "on"), InputOptions()), mc_dropout=3)
    example = {"linear": torch.rand(2, 3), "add": torch.rand(2, 8), "on": torch.rand(2)}
    session, contract = exported(seeded(Calls), example, options, tmp_path)
    assert (contract.method, contract.num_submodels) == ("mc-dropout", 3)
    found = session.run(["mutual_information"], {name: x.numpy() for name, x in example.items()})
    assert found[0].max() > 1e-4
