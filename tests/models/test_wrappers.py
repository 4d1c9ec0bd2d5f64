from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim.swa_utils import AveragedModel

from models.adopt import adopt
from models.export import ExportOptions, export
from models.layers import Masksembles1d, layers, submodels
from models.state_dict import load_weights
from models.wrappers import plain_copy, plain_names, unwrapped

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script.*` is deprecated:DeprecationWarning")


def body(first: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(1)
    first = first or nn.Linear(5, 16)
    return nn.Sequential(first, nn.Tanh(), Masksembles1d(16, 4, seed=0), nn.Linear(16, 3))


def distributed(network: nn.Module) -> nn.Module:
    """In DistributedDataParallel, whose group of processes is gone again."""
    store = HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        return nn.parallel.DistributedDataParallel(network)
    finally:
        torch.distributed.destroy_process_group()


class Around(nn.Module):
    """A wrapper deep inside a network."""

    def __init__(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.body, self.last = wrap(body()), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x))


def compiled(network: nn.Module) -> nn.Module:
    wrapped: Any = torch.compile(network)
    return wrapped


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": distributed,
    "torch.compile": compiled,
    "AveragedModel": AveragedModel,
    "torch.compile in DataParallel": lambda network: nn.DataParallel(compiled(network)),
    "DistributedDataParallel in torch.compile": lambda network: compiled(distributed(network)),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_are_taken_off(name: str) -> None:
    network, x = body().eval(), torch.randn(5, 5)
    expected = submodels(network, x)
    wrapped = WRAPPERS[name](network).eval()
    adopted = adopt(wrapped)
    assert type(adopted) is nn.Sequential
    assert list(layers(adopted)) == ["2"]
    torch.testing.assert_close(submodels(adopted, x), expected)
    assert type(unwrapped(wrapped)) is nn.Sequential


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_inside_a_network_are_taken_off(name: str) -> None:
    torch.manual_seed(2)
    expected = Around(lambda network: network).eval()
    torch.manual_seed(2)
    adopted = adopt(Around(WRAPPERS[name]).eval())
    adopted.last.load_state_dict(expected.last.state_dict())
    x = torch.randn(5, 5)
    assert type(adopted.body) is nn.Sequential
    torch.testing.assert_close(submodels(adopted, x), submodels(expected, x))


def test_a_network_that_compiles_itself_is_run_as_it_is() -> None:
    network = body().eval()
    network.compile()
    assert plain_copy(network)._compiled_call_impl is None
    assert network._compiled_call_impl is not None


def test_weights_that_are_shared_stay_shared() -> None:
    part = nn.DataParallel(nn.Linear(5, 5))
    copied = plain_copy(nn.Sequential(part, nn.ReLU(), part))
    assert copied[0] is copied[2]
    assert type(copied[0]) is nn.Linear


def pruned(layer: nn.Module) -> nn.Module:
    prune.l1_unstructured(layer, "weight", 0.4)
    return prune.random_unstructured(layer, "weight", 0.2)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def doubled(layer: nn.Module) -> nn.Module:
    return parametrize.register_parametrization(layer, "weight", Doubled())


COMPUTED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "old weight norm": lambda layer: torch.nn.utils.weight_norm(layer, dim=1),
    "old spectral norm": torch.nn.utils.spectral_norm,
    "pruning": pruned,
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "a parametrization": doubled,
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("passes", [0, 2])
@pytest.mark.parametrize("name", COMPUTED)
def test_computed_weights_are_baked(name: str, passes: int) -> None:
    network = body(COMPUTED[name](nn.Linear(5, 16))).train()
    for _ in range(passes):  # after which the old ones keep a weight that cannot be copied
        network(torch.randn(8, 5)).sum().backward()
    x = torch.randn(5, 5)
    adopted = adopt(network)
    first = adopted[0]
    assert type(first) is nn.Linear
    assert sorted(key for key, _ in first.named_parameters()) == ["bias", "weight"]
    assert not first._forward_pre_hooks
    assert not any(weight.requires_grad for weight in adopted.parameters())
    torch.testing.assert_close(submodels(adopted, x), submodels(network.eval(), x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_such_networks_are_exported_and_verified(tmp_path: Path) -> None:
    normed = body(torch.nn.utils.weight_norm(nn.Linear(5, 16)))
    normed(torch.randn(8, 5))
    for network in (WRAPPERS["torch.compile in DataParallel"](body()), normed, Around(distributed)):
        options = ExportOptions(labels="abc"[: 2 + (not isinstance(network, Around))])
        export(network, torch.randn(2, 5), options, name="wrapped", repository=tmp_path)
    assert sorted(path.name for path in (tmp_path / "wrapped").iterdir()) == ["1", "2", "3"]


def test_torchscript_is_refused() -> None:
    part = torch.jit.script(nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"1 is TorchScript \(Linear\): give the torch\.nn\.Module"):
        adopt(nn.Sequential(nn.ReLU(), part))


@pytest.mark.parametrize("saved", [None, *WRAPPERS])
@pytest.mark.parametrize("loaded", [None, "DataParallel", "torch.compile in DataParallel"])
@pytest.mark.parametrize("deep", [False, True])
def test_checkpoints_of_wrapped_networks_are_read(
    saved: str | None, loaded: str | None, deep: bool, tmp_path: Path
) -> None:
    def made(name: str | None) -> nn.Module:
        wrap = WRAPPERS[name] if name else lambda network: network
        return Around(wrap) if deep else wrap(body())

    trained, fresh = made(saved), made(loaded)
    for weight in unwrapped(trained).parameters():
        nn.init.uniform_(weight, -1, 1)
    torch.save(trained.state_dict(), tmp_path / "trained.pt")
    load_weights(fresh, tmp_path / "trained.pt")
    x = torch.randn(5, 5)
    torch.testing.assert_close(submodels(adopt(fresh), x), submodels(adopt(trained), x))


def test_names_that_a_network_has_itself_stay() -> None:
    known = {"module.weight", "weight"}
    state = {"module.weight": 1, "weight": 2}
    assert plain_names(state, known) == state
    assert plain_names({"a.module.b": 1, "n_averaged": 2, "c": 3}, {"a.b"}) == {"a.b": 1, "c": 3}
    assert plain_names({"n_averaged": 2}, {"n_averaged"}) == {"n_averaged": 2}
