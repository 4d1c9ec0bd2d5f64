"""What the machine has: card, driver, CUDA, onnxruntime, packages; and whether the service could use the GPU."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import distributions

import onnxruntime
from onnxruntime.capi import build_and_package_info

from app.engine.device import missing_for_cuda
from tests.gpu.check import Setting, run

_CARD = "name,driver_version,memory.total,memory.used,compute_cap,clocks.sm,clocks.max.sm,power.limit"
_WANTED = {
    "fastapi", "httptools", "httpx", "msgspec", "numpy", "nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-cuda-runtime",
    "onnx", "onnxruntime", "onnxruntime-gpu", "orjson", "pillow", "prometheus-client", "pydantic", "pydantic-core",
    "pysimdjson", "pytest", "starlette", "torch", "uvicorn",
}  # fmt: skip


def check(setting: Setting) -> None:
    figures = setting.figures
    figures.record("python", {"version": sys.version, "executable": sys.executable, "platform": platform.platform()})
    figures.record("cores", len(os.sched_getaffinity(0)))
    # the first of a name is the one that is imported
    found = [(dist.metadata["Name"].lower().replace("_", "-"), dist.version) for dist in distributions()]
    packages = dict(reversed(found))
    figures.record("packages", {name: version for name, version in sorted(packages.items()) if name in _WANTED})
    figures.record("card", _card())
    figures.record(
        "onnxruntime",
        {
            "version": onnxruntime.__version__,
            "file": onnxruntime.__file__,
            "built_for_cuda": str(getattr(build_and_package_info, "cuda_version", "")),
            "providers": onnxruntime.get_available_providers(),
            "build": onnxruntime.get_build_info(),
        },
    )
    with figures.part("service"):
        missing = missing_for_cuda()
        figures.record("missing_for_cuda", missing)
        figures.expect(missing is None or not setting.on_gpu, f"CUDA cannot be used: {missing}")
    figures.record("versions", _versions())


def _card() -> dict[str, str] | str:
    """What nvidia-smi says of the first card; without it, why not."""
    if shutil.which("nvidia-smi") is None:
        return "there is no nvidia-smi"
    command = ["nvidia-smi", f"--query-gpu={_CARD}", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    if found.returncode:
        return found.stdout + found.stderr
    return dict(zip(_CARD.split(","), (value.strip() for value in found.stdout.splitlines()[0].split(","))))


def _versions() -> dict[str, int]:
    """Versions of the libraries themselves, of those that are there."""
    found = {}
    for name, library, function in (
        ("driver", "libcuda.so.1", "cuDriverGetVersion"),
        ("runtime", "libcudart.so.13", "cudaRuntimeGetVersion"),
    ):
        try:
            version = ctypes.c_int(0)
            getattr(ctypes.CDLL(library), function)(ctypes.byref(version))
            found[name] = version.value
        except (OSError, AttributeError):
            continue
    try:
        cudnn = ctypes.CDLL("libcudnn.so.9").cudnnGetVersion
        cudnn.restype = ctypes.c_size_t
        found["cudnn"] = cudnn()
    except (OSError, AttributeError):
        pass
    return found


if __name__ == "__main__":
    run(check)
