"""Chooses where models run. Checks what CUDA needs, because onnxruntime would fall back to the CPU with a warning."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime
from onnxruntime.capi import build_and_package_info

from app.failures import StartError

# What onnxruntime's CUDA provider is linked with, by the major version of CUDA that it was built for. The build for
# CUDA 13 loads cuFFT only when a graph needs it.
_LIBRARIES = {
    12: ("libcudart.so.12", "libcublasLt.so.12", "libcublas.so.12", "libcurand.so.10", "libcufft.so.11"),
    13: ("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"),
}
_LIBRARIES_OF_PROVIDER = ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so")
_CUDNN = "libcudnn.so.9"  # loaded on first use: the provider loads without it, and a convolution fails later
_DRIVERS = {12: "525", 13: "580"}  # the oldest that can run that CUDA

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""onnxruntime's names of its providers."""

DeviceSetting = Literal["auto", "cpu", "cuda"]
Load = Callable[[str], ctypes.CDLL]


def _load(library: str) -> ctypes.CDLL:
    return ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)


@dataclass(frozen=True)
class Cuda:
    """How GPUs are used.

    Args:
        tf32: round the inputs of products to 10 bits of mantissa: faster, but answers differ from a CPU's.
        graphs: capture a CUDA graph for each batch size and replay it.
        memory_mb: limit for a session's memory arena, in MiB; None for no limit.
    """

    tf32: bool = False
    graphs: bool = False
    memory_mb: int | None = None

    def provider_options(self, index: int, *, free: bool = False) -> dict[str, str]:
        """The options of onnxruntime's CUDA provider for one GPU.

        With free axes there are no CUDA graphs, each of which holds for one size; and the arena doubles: one that grows
        as requested keeps memory for every size that was the largest so far (17 GB after 1000, measured on a CPU).
        """
        options = {
            "device_id": str(index),
            "cudnn_conv_algo_search": "HEURISTIC",  # the default searches anew for every batch size
            # the default doubles, and an arena never shrinks
            "arena_extend_strategy": "kNextPowerOfTwo" if free else "kSameAsRequested",
            "use_tf32": str(int(self.tf32)),  # said either way: onnxruntime's default is on
            "enable_cuda_graph": str(int(self.graphs and not free)),
        }
        if self.memory_mb is not None:
            options["gpu_mem_limit"] = str(self.memory_mb * 2**20)
        return options


@dataclass(frozen=True)
class Device:
    """The chosen kind of device, the setting behind it, the reason, and how many devices share the work."""

    name: Literal["cpu", "cuda"]
    setting: DeviceSetting
    reason: str
    count: int = 1
    cuda: Cuda = Cuda()

    @property
    def enough_rows(self) -> int | None:
        """Rows that use the device well; None if more are always better."""
        return 16 if self.name == "cpu" else None

    def facts(self) -> dict[str, str]:
        """Facts for the metrics."""
        cuda = str(getattr(build_and_package_info, "cuda_version", "")) if self.name == "cuda" else ""
        provider = PROVIDERS[self.name]
        return {"device": self.name, "provider": provider, "onnxruntime": onnxruntime.__version__, "cuda": cuda}

    @property
    def fell_back(self) -> bool:
        """Whether a GPU would have been chosen if one were usable."""
        return self.setting != "cpu" and self.name == "cpu"


def choose(setting: DeviceSetting, cuda: Cuda = Cuda()) -> Device:
    """The device for a setting: the CPU, or all GPUs that CUDA_VISIBLE_DEVICES allows.

    Raises:
        StartError: the setting is `cuda` and CUDA cannot be used; the message names what is missing.
    """
    if setting == "cpu":
        return Device("cpu", setting, "the setting asks for it")
    missing = missing_for_cuda()
    if missing is None:
        return Device("cuda", setting, "driver, CUDA libraries and cuDNN are there", _count(_load), cuda)
    if setting == "cuda":
        raise StartError(f"MASKSEMBLES_DEVICE=cuda, but no GPU can be used: {missing}")
    return Device("cpu", setting, f"no GPU can be used: {missing}")


def missing_for_cuda(load: Load = _load) -> str | None:
    """What is missing for CUDA: package, driver, GPU, a CUDA library, cuDNN; None if nothing is."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "the installed onnxruntime has no CUDA provider (the package onnxruntime-gpu has one)"
    major = int(str(build_and_package_info.cuda_version).split(".")[0])
    if (driver := _missing_driver(major, load)) is not None:
        return driver
    if load is _load:
        onnxruntime.preload_dlls()  # finds the libraries that pip installed; the loader's path does not hold them
    for library in (*_LIBRARIES.get(major, ()), _CUDNN):
        try:
            load(library)
        except OSError:
            kind = "cuDNN 9" if library == _CUDNN else f"a CUDA {major} library"
            return f"{library} cannot be loaded ({kind}; the extra `cuda` of this project installs it)"
    for library in _LIBRARIES_OF_PROVIDER:
        try:
            load(str(Path(onnxruntime.__file__).parent / "capi" / library))
        except OSError as error:
            return f"onnxruntime's CUDA provider cannot be loaded ({error})"
    return None


def _count(load: Load) -> int:
    """How many GPUs the driver shows; called only after the driver answered."""
    count = ctypes.c_int(0)
    load("libcuda.so.1").cuDeviceGetCount(ctypes.byref(count))
    return count.value


def _missing_driver(major: int, load: Load) -> str | None:
    try:
        driver = load("libcuda.so.1")
    except OSError:
        return "libcuda.so.1 cannot be loaded (the NVIDIA driver; in a container, the NVIDIA container toolkit)"
    if (status := driver.cuInit(0)) != 0:  # a driver without a GPU loads, too
        return f"the NVIDIA driver finds no usable GPU (cuInit gives {status})"
    version = ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    if version.value < major * 1000:
        return (
            f"the NVIDIA driver supports CUDA {version.value // 1000}.{version.value % 1000 // 10}, but onnxruntime "
            f"needs CUDA {major} (driver {_DRIVERS.get(major, 'newer')} or newer, or build with CUDA=12)"
        )
    return None
