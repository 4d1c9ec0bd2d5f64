import ctypes
from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest
from onnxruntime.capi import build_and_package_info

from app.engine import device
from app.failures import StartError


class Driver:
    """What libcuda.so.1 answers."""

    def __init__(self, status: int = 0, version: int = 13000) -> None:
        self.status, self.version = status, version

    def cuInit(self, _: int) -> int:  # noqa: N802 - its name
        return self.status

    def cuDeviceGetCount(self, pointer: Any) -> int:  # noqa: N802
        ctypes.cast(pointer, ctypes.POINTER(ctypes.c_int))[0] = 2
        return 0

    def cuDriverGetVersion(self, pointer: Any) -> int:  # noqa: N802
        ctypes.cast(pointer, ctypes.POINTER(ctypes.c_int))[0] = self.version
        return 0


def loader(missing: str = "", driver: Driver | None = None) -> Callable[[str], object]:
    def load(library: str) -> object:
        if library.rpartition("/")[2] == missing:
            raise OSError(library)
        return driver or Driver()

    return load


@pytest.fixture(autouse=True)
def _cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(build_and_package_info, "cuda_version", "13.0", raising=False)


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (loader("libcuda.so.1"), "libcuda.so.1 cannot be loaded (the NVIDIA driver"),
        (loader(driver=Driver(status=100)), "finds no usable GPU (cuInit gives 100)"),
        (loader(driver=Driver(version=12040)), "supports CUDA 12.4, but onnxruntime needs CUDA 13 (driver 580"),
        (loader("libcublasLt.so.13"), "libcublasLt.so.13 cannot be loaded (a CUDA 13 library"),
        (loader("libcudnn.so.9"), "libcudnn.so.9 cannot be loaded (cuDNN 9"),
        (loader("libonnxruntime_providers_cuda.so"), "onnxruntime's CUDA provider cannot be loaded"),
    ],
)
def test_what_is_missing_is_named(load: Callable[[str], ctypes.CDLL], message: str) -> None:
    assert message in (device.missing_for_cuda(load) or "")


def test_nothing_is_missing_where_all_is_there() -> None:
    assert device.missing_for_cuda(loader()) is None  # type: ignore[arg-type]


def test_a_build_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "onnxruntime-gpu" in (device.missing_for_cuda(loader()) or "")  # type: ignore[arg-type]


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "missing_for_cuda", lambda: "libcudnn.so.9 cannot be loaded")
    assert device.choose("cpu").name == "cpu"
    assert device.choose("auto") == device.Device("cpu", "auto", "no GPU can be used: libcudnn.so.9 cannot be loaded")
    with pytest.raises(StartError, match=r"MASKSEMBLES_DEVICE=cuda, but no GPU can be used: libcudnn"):
        device.choose("cuda")
    monkeypatch.setattr(device, "missing_for_cuda", lambda: None)
    monkeypatch.setattr(device, "_load", loader())
    found = device.choose("auto")
    assert (found.name, found.count, found.fell_back) == ("cuda", 2, False)
    assert device.choose("cuda", device.Cuda(tf32=True)).cuda.tf32


def test_the_options_of_the_cuda_provider() -> None:
    assert device.Cuda().provider_options(1) == {
        "device_id": "1",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": "0",
        "enable_cuda_graph": "0",
    }
    asked = device.Cuda(tf32=True, graphs=True, memory_mb=512).provider_options(0)
    assert asked["use_tf32"] == "1"
    assert asked["enable_cuda_graph"] == "1"
    free = device.Cuda(tf32=True, graphs=True, memory_mb=512).provider_options(0, free=True)
    # onnxruntime would replay one size's graph for all
    assert free == {**asked, "enable_cuda_graph": "0", "arena_extend_strategy": "kNextPowerOfTwo"}
    assert asked["gpu_mem_limit"] == "536870912"
