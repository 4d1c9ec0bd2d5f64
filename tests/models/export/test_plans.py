"""Which plans are made and what is said of them; conversion to ONNX, which takes longest, is left out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from app.contract.calibration import Calibration
from app.contract.reader import read as read_contract
from app.contract.repository import TEMPERATURE
from app.contract.schema import Compilation, Contract
from app.contract.tensor import Tensor
from models.export import ExportOptions, cost, plans
from models.export.adopted import adopt_networks, members
from models.export.cost import Choice, DeviceName, PlanName
from models.export.grid import describe_heads
from models.export.held import CannotGroup
from models.export.plans import DevicePlan, Plans, compile_plans, unmasked
from models.export.preprocess import Preprocess
from models.export.served import Interface, Served
from models.export.trace import trace
from models.layers import Masksembles1d, layers
from models.networks.mlp import mlp
from tests import graphs

ROWS = torch.rand(4, 6)
DENSE = 6 * 16 + 16 * 16 + 16 * 3


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[Served]:
    """What was converted; the file of each is empty but for its number."""
    found: list[Served] = []

    def convert(served: Served, rows: torch.Tensor, free: object) -> onnx.ModelProto:
        found.append(served)
        return onnx.ModelProto(model_version=len(found))

    monkeypatch.setattr(plans, "convert", convert)
    return found


def made(network: nn.Module | list[nn.Module], **fields: Any) -> Plans:
    """The plans of a network with three classes."""
    options = ExportOptions(labels="abc", **fields)
    adopted = adopt_networks(network, ROWS, options)
    traced = [trace(member, ROWS) for member in members(adopted)]
    interface = Interface(Preprocess(None, ROWS.shape), {"input": ROWS}, describe_heads(traced, [(6,)], options))
    return compile_plans(adopted, traced, interface, options)


def choose(monkeypatch: pytest.MonkeyPatch, choices: dict[DeviceName, PlanName]) -> list[set[str]]:
    """Has the rule choose these; the names of the plans that it was given."""
    offered: list[set[str]] = []

    def rule(graphs: Mapping[PlanName, GraphModule], example: torch.Tensor, device: DeviceName) -> Choice:
        offered.append(set(graphs))
        return Choice(choices[device], f"good for {device}")

    monkeypatch.setattr(cost, "choose", rule)
    return offered


def masked() -> nn.Module:
    return mlp((6,), 3, scale=2.0, align=1, hidden=(16, 16))


def test_a_forced_plan_stands_beside_the_portable_one(converted: list[Served]) -> None:
    network = masked()
    kept = int(layers(network)["3"].masks[0].sum())
    found = made(network, plan="branches")
    assert set(found.by_name()) == {"folded", "branches for cpu"}
    assert found.models() == {"cpu": found.devices["cpu"].model}
    assert found.compilation == Compilation(
        chosen_by="force", reason="cpu: branches, forced", macs=6 * 16 + 4 * (16 * 16 + 16 * 3), macs_single=DENSE
    )
    # what a submodel does not see is not read; the second layer still writes a whole block of 16
    read = 6 * 16 + 4 * (kept * 16 + kept * 3)
    own = found.devices["cpu"].compilation
    assert own == Compilation(device="cpu", chosen_by="force", reason="forced", macs=read, macs_single=DENSE)
    # each answers for all submodels, whatever its plan
    for head in converted:
        assert head.submodels == 4
        assert head.body(ROWS).shape == (16, 3)
        assert not head.training


def test_where_no_device_gains_there_is_only_the_portable_plan(
    converted: list[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = choose(monkeypatch, {"cpu": "folded", "cuda": "folded"})
    found = made(masked(), devices=("cpu", "cuda"))
    assert offered == [{"folded", "branches", "grouped"}] * 2
    assert (len(converted), set(found.by_name())) == (1, {"folded"})
    assert (found.compilation.chosen_by, found.compilation.device) == ("rule", None)
    assert found.compilation.reason == "cpu: folded, good for cpu; cuda: folded, good for cuda"


def test_only_what_was_chosen_is_converted(converted: list[Served], monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, {"cpu": "folded", "cuda": "grouped"})
    found = made(masked(), devices=("cpu", "cuda"))
    assert set(found.by_name()) == {"folded", "grouped for cuda"}
    assert len(converted) == 2
    assert found.devices["cuda"].compilation.reason == "good for cuda"


def test_devices_that_choose_alike_get_files_of_their_own(
    converted: list[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, {"cpu": "branches", "cuda": "branches"})
    found = made(masked(), devices=("cpu", "cuda"))
    cpu, cuda = (found.devices[device] for device in ("cpu", "cuda"))
    assert cpu.model == cuda.model
    assert cpu.model is not cuda.model
    assert (cpu.compilation.device, cuda.compilation.device) == ("cpu", "cuda")
    assert len(converted) == 2


def test_tuning_measures_every_plan_on_every_device(converted: list[Served], monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[set[str], int, str]] = []

    def tune(
        models: Mapping[PlanName, onnx.ModelProto], inputs: Mapping[str, np.ndarray], device: DeviceName
    ) -> Choice:
        measured.append((set(models), len(inputs["input"]), device))
        return Choice("grouped" if device == "cpu" else "folded", "measured")

    monkeypatch.setattr(cost, "tune", tune)
    found = made(masked(), devices=("cpu", "cuda"), tune=True)
    names = {"folded", "branches", "grouped"}
    assert measured == [(names, 4, "cpu"), (names, 4, "cuda")]
    assert set(found.by_name()) == {"folded", "grouped for cpu"}
    assert found.compilation.chosen_by == found.devices["cpu"].compilation.chosen_by == "measurement"


def test_a_plan_for_masks_cannot_be_forced_on_a_network_without(converted: list[Served]) -> None:
    with pytest.raises(ValueError, match="plan: branches needs masks, and the network has none"):
        made(nn.Linear(6, 3), plan="branches")
    found = made(nn.Linear(6, 3), plan="folded")
    assert set(found.by_name()) == {"folded"}
    assert found.compilation.macs == found.compilation.macs_single == 18


def test_what_cannot_be_grouped_is_no_plan_unless_it_is_forced(
    converted: list[Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = nn.Sequential(nn.Linear(6, 16), Masksembles1d(16, 4, seed=0), nn.LayerNorm(16), nn.Linear(16, 3))
    offered = choose(monkeypatch, {"cpu": "folded"})
    made(network)
    assert offered == [{"folded", "branches"}]
    with pytest.raises(CannotGroup, match="layer_norm"):
        made(network, plan="grouped")


def test_float16_applies_to_every_plan(converted: list[Served]) -> None:
    made(masked(), plan="branches", precision="float16")
    assert len(converted) == 2
    for head in converted:
        kinds = {value.dtype for value in (*head.body.parameters(), *head.body.buffers())}
        assert torch.float16 in kinds


def test_the_networks_of_a_deep_ensemble_run_side_by_side(converted: list[Served]) -> None:
    networks: list[nn.Module] = [nn.Linear(6, 3), nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)), nn.Linear(6, 3)]
    found = made(networks)
    assert (found.models(), set(found.by_name())) == ({}, {"folded"})
    assert (found.compilation.macs, found.compilation.macs_single) == (18 + 72 + 18, 18)
    assert found.compilation.chosen_by is None
    assert "the 3 networks of a deep ensemble share nothing" in str(found.compilation.reason)
    (head,) = converted
    assert head.submodels == 3
    torch.testing.assert_close(head.body(ROWS), torch.cat([network(ROWS) for network in networks]))


def test_a_network_without_its_masks_is_a_copy() -> None:
    network = masked().eval()
    single = unmasked(network)
    assert (len(layers(network)), layers(single)) == (2, {})
    rest = nn.Sequential(*(layer for layer in network.children() if not isinstance(layer, Masksembles1d)))
    torch.testing.assert_close(single(ROWS), rest(ROWS))


def calibrated() -> tuple[onnx.ModelProto, Contract]:
    given = Tensor(name="input", dtype="float32", shape=("B", 6), unit="feature")
    model, contract = graphs.classifier(given, "abc", submodels=2)
    calibration = Calibration(data="d", rows=9, temperature=1.5, nll_before=1, nll_after=1, quantiles={})
    compilation = Compilation(reason="cpu: branches", macs=2, macs_single=1)
    return model, contract.with_head(contract.head, calibration=calibration).model_copy(
        update={"compilation": compilation}
    )


def test_every_file_gets_the_contract_with_its_own_plan_and_one_temperature() -> None:
    model, contract = calibrated()
    other = graphs.classifier(contract.inputs[0], "abc", submodels=2)[0]
    own = Compilation(device="cpu", chosen_by="rule", macs=1, macs_single=1)
    compiled = Plans(model, Compilation(macs=2, macs_single=1), {"cpu": DevicePlan("branches", other, own)})
    assert compiled.embed(contract) is compiled
    portable, device = (read_contract(file.metadata_props[0].value) for file in (model, other))
    assert (portable, portable.plan) == (contract, "folded")
    assert (device.plan, device.compilation) == ("branches", own)
    assert device.same_model(portable)
    (temperature,) = (tensor for tensor in other.graph.initializer if tensor.name == TEMPERATURE)
    assert onnx.numpy_helper.to_array(temperature) == 1.5


def test_a_file_without_a_temperature_needs_none() -> None:
    model, contract = graphs.regressor(aleatoric=False)
    other = graphs.regressor(aleatoric=False)[0]
    for file in (model, other):
        kept = [tensor for tensor in file.graph.initializer if tensor.name != TEMPERATURE]
        del file.graph.initializer[:]
        file.graph.initializer.extend(kept)
    own = Compilation(device="cpu", macs=1, macs_single=1)
    Plans(model, own, {"cpu": DevicePlan("grouped", other, own)}).embed(contract)
    assert read_contract(other.metadata_props[0].value).plan == "grouped"
