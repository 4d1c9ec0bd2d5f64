from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import artefact, runtime
from models.adopt import adopt
from models.export import ExportOptions, export
from models.functional_dropout import DropoutCall, FunctionalDropout, dropout_calls
from models.layers import layers, submodels


class Functional(nn.Module):
    """Dropout in every form: a module, functions of features, channels and single values, one with p = 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.second, self.hidden, self.last = (
            nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8 * 16, 32), nn.Linear(32, 3),
        )  # fmt: skip
        self.drop = nn.Dropout(0.4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout2d(self.conv(x).relu(), 0.3, training=self.training)
        x = torch.dropout(self.second(x).relu(), 0.2, self.training)
        x = F.dropout(self.drop(self.hidden(x.flatten(1)).relu()), p=0.5, training=self.training)
        return self.last(F.alpha_dropout(F.dropout(x, 0.0), 0.0))


def test_calls_are_found_in_order_also_in_evaluation_mode() -> None:
    network, x = Functional().eval(), torch.rand(2, 1, 4, 4)
    assert dropout_calls(network, x) == [
        DropoutCall("dropout2d", (2, 8, 4, 4), 0.3, by_channel=True),
        DropoutCall("dropout", (2, 8, 4, 4), 0.2, by_channel=False),
        DropoutCall("dropout", (2, 32), 0.4, by_channel=False),  # of the module
        DropoutCall("dropout", (2, 32), 0.5, by_channel=False),
    ]


def test_calls_become_frozen_masks() -> None:
    network, x = Functional().eval(), torch.rand(3, 1, 4, 4)
    adopted = adopt(network, x, mc_dropout=5, seed=1)
    assert type(adopted) is FunctionalDropout
    found = layers(adopted)
    assert {name: list(layer.masks.shape) for name, layer in found.items()} == {
        "network.drop": [5, 32],
        "masks.0": [5, 8],
        "masks.1": [5, 8, 4, 4],
        "masks.2": [5, 32],
    }
    y = network.conv(x).relu() * found["masks.0"].factors[2].reshape(8, 1, 1)
    y = network.second(y).relu() * found["masks.1"].factors[2]
    y = network.hidden(y.flatten(1)).relu() * found["network.drop"].factors[2] * found["masks.2"].factors[2]
    torch.testing.assert_close(submodels(adopted, x)[2], network.last(y))
    assert found["masks.2"].factors.max() == 2  # 1/(1 − p)
    again = layers(adopt(network, x, mc_dropout=5, seed=1))
    assert all(torch.equal(layer.masks, again[name].masks) for name, layer in found.items())


def test_a_call_in_a_loop_has_a_mask_each_time() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = F.dropout(self.layer(x), 0.5, self.training)
            return x

    masks = [layer.masks for layer in layers(adopt(Loop(), torch.rand(2, 6), mc_dropout=4)).values()]
    assert len(masks) == 3
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["folded", "branches"])
def test_such_a_network_is_exported_and_verified(plan, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    network, x = Functional(), torch.rand(4, 1, 4, 4)
    options = ExportOptions(labels="abc", mc_dropout=6, plan=plan, seed=3)
    export(network, x[:2], options, name="mc", repository=tmp_path)
    model, contract, _ = artefact.read(tmp_path, "mc")
    assert (contract.method, contract.num_submodels) == ("mc-dropout", 6)
    assert contract.masks is not None
    assert len(contract.masks.layers) == 4
    expected = submodels(adopt(network, x, mc_dropout=6, seed=3), x).permute(1, 0, 2)
    found = runtime.run(model, x.numpy(), ["logits"])["logits"]
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-4, atol=1e-5)


class Applies(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer, x)


def attend(_: nn.Linear, x: Tensor) -> Tensor:
    rows = x.unsqueeze(1)
    return F.scaled_dot_product_attention(rows, rows, rows, dropout_p=0.1).squeeze(1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda layer, x: F.alpha_dropout(layer(x), 0.1), "a call of alpha_dropout cannot be frozen"),
        (attend, "a call of scaled_dot_product_attention cannot be frozen"),
        (lambda layer, x: F.dropout1d(layer(x), 0.1), r"call 1 of dropout1d takes \[B, C\] for one sample"),
        (lambda layer, x: F.linear(x, F.dropout(layer.weight, 0.1)), r"drops from \[6, 6\], which has not the samples"),
        (lambda layer, x: F.dropout(layer(x).T, 0.1).T, r"drops from \[6, 2\], which has not the samples on axis 0"),
    ],
)
def test_what_no_mask_can_stand_for_is_refused(function: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adopt(Applies(function), torch.rand(2, 6), mc_dropout=4)
