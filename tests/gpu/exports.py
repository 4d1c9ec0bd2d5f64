"""Exports small enough to travel to a machine with a GPU: graphs whose random weights are drawn there.

`python -m tests.gpu.exports` exports the networks of `tests.bench.gpu`, and a shipped network of Fashion-MNIST in
float16. Weights that were random anyway are left out: in their place stand their mean and standard deviation, and
`unpack` draws them anew, always the same ones. A ResNet-50 of 100 MB becomes a file of some kilobytes. The shipped
network keeps its weights: half precision is judged by a trained one.
"""

import json
import lzma
import tempfile
import zlib
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.repository import list_models, model_path
from tests.serving import ROOT

FOLDER = ROOT / ".gpu" / "exports"
TRAINED = "fashion-mnist.trained.float16"
"""A shipped network in float16, not calibrated."""
TRAINED_FROM = "fashion-mnist-masksembles"

_SUFFIX = ".onnx.xz"
_LEAST = 256  # smaller ones take no space
_FEW = 4  # distinct values of a mask or a constant
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


def strip(model: onnx.ModelProto) -> None:
    """Replaces weights by their mean and standard deviation; masks, constants and indices stay."""
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type in _FLOATS and values.size >= _LEAST and len(np.unique(values)) > _FEW:
            drawn = {"mean": float(values.mean(dtype=np.float64)), "std": float(values.std(dtype=np.float64))}
            empty = onnx.TensorProto(
                name=tensor.name, dims=tensor.dims, data_type=tensor.data_type, doc_string=json.dumps(drawn)
            )
            tensor.CopyFrom(empty)


def fill(model: onnx.ModelProto) -> None:
    """Draws the weights that `strip` left out, for each name the same ones every time."""
    for tensor in model.graph.initializer:
        if tensor.doc_string:
            drawn = json.loads(tensor.doc_string)
            rng = np.random.default_rng(zlib.crc32(tensor.name.encode()))
            values: NDArray[np.float32] = rng.standard_normal(tuple(tensor.dims), dtype=np.float32)
            values = values * np.float32(drawn["std"]) + np.float32(drawn["mean"])
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(dtype), tensor.name))


def pack(repository: Path, name: str, folder: Path, device: str) -> None:
    """Packs what a device serves of a model: its plan for it, or else the portable file."""
    folder.mkdir(parents=True, exist_ok=True)
    portable = model_path(repository, name, 1)
    plan = portable.with_name(f"model.{device}.onnx")
    model = onnx.load(plan if plan.exists() else portable)
    if name != TRAINED:
        strip(model)
    path = folder / f"{name}{_SUFFIX}"
    path.with_suffix(".new").write_bytes(lzma.compress(model.SerializeToString(), preset=9))
    path.with_suffix(".new").rename(path)


def names(folder: Path) -> list[str]:
    """The packed exports of a folder; none where it does not exist."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}"))


def unpack(folder: Path, name: str, repository: Path) -> Path:
    """Writes a packed export into a model repository as version 1, and returns its file."""
    model = onnx.load_model_from_string(lzma.decompress((folder / f"{name}{_SUFFIX}").read_bytes()))
    fill(model)
    path = model_path(repository, name, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def prepare(folder: Path, networks: list[str], device: str) -> None:
    """Exports and packs networks of the benchmark for a kind of device, and the trained one, unless they are there."""
    from tests.bench import gpu
    from tests.gpu.trained import export_trained

    for name in (TRAINED, *gpu.names(networks)):
        if name in names(folder):
            continue
        with tempfile.TemporaryDirectory() as repository:
            (export_trained if name == TRAINED else gpu.prepare)(Path(repository), name, device)
            if name in list_models(Path(repository)):
                pack(Path(repository), name, folder, device)
                print(f"exported {name}", flush=True)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(names(folder))} exports in {folder}, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    from tests.bench.gpu import NETWORKS

    prepare(FOLDER, list(NETWORKS), "cuda")
