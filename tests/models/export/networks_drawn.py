"""Small networks drawn by hypothesis: every kind of layer that the compiler knows, and some that it does not."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from models.layers import Masksembles1d, Masksembles2d

LAYERS = (
    "conv", "depthwise", "groups", "transposed", "norm", "relu", "silu", "softplus", "pool", "pad", "mask", "residual",
    "cat", "gate", "layernorm", "attention", "upsample", "scale",
    "transposed groups", "groupnorm", "instancenorm", "shuffle", "tokens", "halves",
)  # fmt: skip


class Drawn(nn.Module):
    """[B, 3, 8, 8] → logits [B, 4], from a list of layer names; masks wherever `mask` stands."""

    def __init__(self, names: list[str], width: int, submodels: int, scale: float, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.names = names
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        parts: list[nn.Module] = []
        for index, name in enumerate(names):
            mask = Masksembles2d(width, submodels, scale, seed=(seed, index), align=1)
            conv = nn.Conv2d(width, width, 3, padding=1, bias=index % 2 == 0)
            part: nn.Module = nn.Identity()
            if name == "conv":
                part = conv
            elif name == "depthwise":
                part = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=index % 2 == 0)
            elif name == "groups":
                part = nn.Conv2d(width, width, 1, groups=2)
            elif name == "transposed":
                part = nn.ConvTranspose2d(width, width, 3, padding=1)
            elif name == "transposed groups":
                part = nn.ConvTranspose2d(width, width, 3, padding=1, groups=2, bias=index % 2 == 0)
            elif name == "groupnorm":
                part = nn.GroupNorm(2, width)
            elif name == "instancenorm":
                part = nn.InstanceNorm2d(width, affine=True)
            elif name == "tokens":
                part = nn.Linear(width, width)
            elif name == "norm":
                part = nn.BatchNorm2d(width)
            elif name == "mask":
                part = mask
            elif name == "residual":
                part = nn.Sequential(mask, conv, nn.BatchNorm2d(width), nn.ReLU())
            elif name == "cat":
                part = nn.Conv2d(2 * width, width, 1)
            elif name == "gate":
                part = nn.Conv2d(width, 1 if index % 2 else width, 1)
            elif name == "layernorm":
                part = nn.GroupNorm(1, width)
            elif name == "scale":
                part = nn.Conv2d(width, width, 1)
                part.factor = nn.Parameter(torch.randn(width, 1, 1))
            parts.append(part)
        self.parts = nn.ModuleList(parts)
        self.hidden = nn.Linear(width * 4, 12)
        self.mask = Masksembles1d(12, submodels, scale, seed=(seed, 99), align=1)
        self.last = nn.Linear(12, 4)
        for module in self.modules():
            if isinstance(module, (nn.GroupNorm, nn.InstanceNorm2d)):
                nn.init.uniform_(module.bias, -1, 1)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
                nn.init.uniform_(module.weight, -1.5, 1.5)
                nn.init.uniform_(module.bias, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for name, part in zip(self.names, self.parts):
            x = self.step(name, part, x)
        x = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)
        return self.last(self.mask(self.hidden(x).relu()))

    def step(self, name: str, part: nn.Module, x: Tensor) -> Tensor:
        match name:
            case "relu":
                return x.relu()
            case "silu":
                return nn.functional.silu(x)
            case "softplus":
                return nn.functional.softplus(x) - 0.1
            case "pool":
                return nn.functional.max_pool2d(x, 3, stride=1, padding=1)
            case "pad":
                return nn.functional.pad(x, (1, 0, 0, 1), value=0.5)[:, :, 1:, :-1]
            case "upsample":
                return nn.functional.avg_pool2d(nn.functional.interpolate(x, scale_factor=2), 2)
            case "residual":
                return x + part(x)
            case "cat":
                return part(torch.cat([x, x.relu()], dim=1))
            case "gate":
                return x * part(x.mean((2, 3), keepdim=True)).sigmoid()
            case "attention":
                flat = x.flatten(2)
                mixed = torch.softmax(flat @ flat.transpose(1, 2) / 8, dim=-1) @ flat
                return mixed.reshape(x.shape)
            case "shuffle":
                return nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(x, 2).relu(), 2)
            case "halves":
                one, other = x.chunk(2, dim=1)
                return torch.cat([other * one.sigmoid(), one.flip(2)], dim=1)
            case "tokens":
                tokens = part(x.flatten(2).transpose(1, 2)).relu()
                return tokens.transpose(1, 2).reshape(x.shape)
            case "scale":
                return part(x * part.factor + part.factor.abs())
        return part(x)


NETWORKS = st.builds(
    Drawn,
    names=st.lists(st.sampled_from(LAYERS), min_size=1, max_size=6),
    width=st.sampled_from([4, 6, 10]),
    submodels=st.integers(1, 8),
    scale=st.floats(1, 6),
    seed=st.integers(0, 1000),
)
