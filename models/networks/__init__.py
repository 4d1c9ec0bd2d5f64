"""Networks with Masksembles layers, built by name so that a checkpoint can say which one it holds."""

from collections.abc import Callable

from torch import nn

from models.networks.char_cnn import char_cnn
from models.networks.cnn import cnn
from models.networks.mlp import mlp
from models.networks.resnet import resnet
from models.networks.unet import unet
from models.networks.wide_resnet import wide_resnet

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "char_cnn": char_cnn,
    "cnn": cnn,
    "mlp": mlp,
    "resnet": resnet,
    "unet": unet,
    "wide_resnet": wide_resnet,
}
