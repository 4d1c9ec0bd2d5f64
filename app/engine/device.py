"""Decides where models run, and finds out what a GPU lacks before onnxruntime could fall back to the CPU in silence."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime
from onnxruntime.capi import build_and_package_info

from app.errors import StartError

# What the CUDA provider of onnxruntime is linked with, by the major version of CUDA that it was built for.
_LIBRARIES = {
    12: ("libcudart.so.12", "libcublasLt.so.12", "libcublas.so.12", "libcurand.so.10", "libcufft.so.11"),
    13: ("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"),
}
_PROVIDERS = ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so")
_CUDNN = "libcudnn.so.9"
_DRIVERS = {12: "525", 13: "580"}

Asked = Literal["auto", "cpu", "cuda"]
Load = Callable[[str], ctypes.CDLL]


def _load(library: str) -> ctypes.CDLL:
    return ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)


@dataclass(frozen=True)
class Device:
    """The device that was chosen, for what was asked, and why."""

    name: Literal["cpu", "cuda"]
    asked: Asked
    reason: str


def choose(asked: Asked) -> Device:
    """The device for a setting.

    Raises:
        StartError: `cuda` was asked for and cannot be used; the message names what is missing.
    """
    if asked == "cpu":
        return Device("cpu", asked, "the setting asks for it")
    missing = missing_for_cuda()
    if missing is None:
        return Device("cuda", asked, "driver, CUDA libraries and cuDNN are there")
    if asked == "cuda":
        raise StartError(f"MASKSEMBLES_DEVICE=cuda, but no GPU can be used: {missing}")
    return Device("cpu", asked, f"no GPU can be used: {missing}")


def missing_for_cuda(load: Load = _load) -> str | None:
    """What keeps CUDA from being used: package, driver, GPU, a CUDA library, cuDNN; None when all is there."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "the installed onnxruntime has no CUDA provider (the package onnxruntime-gpu has one)"
    major = int(str(build_and_package_info.cuda_version).split(".")[0])
    if (driver := _missing_driver(major, load)) is not None:
        return driver
    if load is _load:
        onnxruntime.preload_dlls()
    for library in (*_LIBRARIES.get(major, ()), _CUDNN):
        try:
            load(library)
        except OSError:
            kind = "cuDNN 9" if library == _CUDNN else f"a CUDA {major} library"
            return f"{library} cannot be loaded ({kind}; the extra `cuda` of this project installs it)"
    for library in _PROVIDERS:
        try:
            load(str(Path(onnxruntime.__file__).parent / "capi" / library))
        except OSError as error:
            return f"onnxruntime's CUDA provider cannot be loaded ({error})"
    return None


def _missing_driver(major: int, load: Load) -> str | None:
    try:
        driver = load("libcuda.so.1")
    except OSError:
        return "libcuda.so.1 cannot be loaded (the NVIDIA driver; in a container, the NVIDIA container toolkit)"
    if (status := driver.cuInit(0)) != 0:
        return f"the NVIDIA driver finds no usable GPU (cuInit gives {status})"
    version = ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    if version.value < major * 1000:
        return (
            f"the NVIDIA driver supports CUDA {version.value // 1000}.{version.value % 1000 // 10}, but onnxruntime "
            f"needs CUDA {major} (driver {_DRIVERS.get(major, 'newer')} or newer, or build with CUDA=12)"
        )
    return None
