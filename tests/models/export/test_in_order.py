"""What networks with several heads give, and what is told of those that give something else."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.export.in_order import InOrder, in_order
from models.layers import Masksembles1d

X = torch.rand(3, 6)


class Gives(nn.Module):
    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.pack, self.mask = pack, Masksembles1d(6, 4, seed=0)

    def forward(self, x: Tensor) -> Any:
        return self.pack(x, self.mask(x))


def made(pack: Callable[[Tensor, Tensor], Any]) -> nn.Module:
    return Gives(pack).eval()


def test_a_tuple_is_taken_as_it_is_and_a_dict_by_its_keys() -> None:
    both = made(lambda x, y: (x, y))
    assert in_order(both, X, ["kind", "size"]) is both
    for kind in (dict, OrderedDict):
        named = made(lambda x, y, kind=kind: kind(other=x, size=x, kind=y))  # type: ignore[misc]
        found = in_order(named, X, ["kind", "size"])
        assert isinstance(found, InOrder)
        kinds, sizes = found.train()(X)
        assert torch.equal(sizes, X)
        assert not torch.equal(kinds, X)


def test_one_tensor_in_a_dict_or_tuple_is_unpacked() -> None:
    for pack in (lambda x, y: {"kind": x}, lambda x, y: (x,)):
        assert torch.equal(in_order(made(pack), X, ["kind"]).train()(X), X)
    one = made(lambda x, y: x)
    assert in_order(one, X, ["kind"]) is one
    assert in_order(one, X, []) is one


@pytest.mark.parametrize(
    ("pack", "message"),
    [
        (lambda x, y: x, r"heads: expected a tensor for each of kind, size, the network gives one tensor \[3, 6\]"),
        (lambda x, y: (x, y, y), "heads: expected a tensor for each of kind, size, the network gives a tuple of 3"),
        (lambda x, y: (x, None), "heads: expected a tensor for each of kind, size, the network gives a tuple of 2"),
        (lambda x, y: {"kind": x}, "heads: the network gives no tensor 'size', but a dict of kind"),
        (lambda x, y: None, "heads: expected a tensor for each of kind, size, the network gives a NoneType"),
    ],
)
def test_what_is_not_there_is_told(pack: Callable[[Tensor, Tensor], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        in_order(made(pack), X, ["kind", "size"])


def test_a_network_that_does_not_run_is_left_to_the_trace() -> None:
    broken = made(lambda x, y: x @ x)
    assert in_order(broken, X, ["kind", "size"]) is broken
