import math
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from app.engine.device import Device, missing_for_cuda
from app.engine.session import Session, is_out_of_memory
from app.failures import DeviceOutOfMemory, ModelRejected, StartError

CPU, CUDA = Device("cpu", "cpu", ""), Device("cuda", "cuda", "")


def test_runs_and_gives_what_was_asked(tiny_repository: Path) -> None:
    session = Session((tiny_repository / "tiny" / "1" / "model.onnx").read_bytes(), CPU)
    found = session.run({"input": np.ones((5, 6), np.float32)}, ["submodels", "entropy"])
    assert session.provider == "CPUExecutionProvider"
    assert {name: values.shape for name, values in found.items()} == {"submodels": (5, 3, 3), "entropy": (5,)}


def test_what_onnxruntime_cannot_load_is_refused() -> None:
    with pytest.raises(ModelRejected, match="onnxruntime cannot load it"):
        Session(b"no model", CPU)


def test_a_silent_fallback_to_the_cpu_is_an_error(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    def without_gpu(content: bytes, options: object, providers: list[object]) -> object:
        return real(content, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_gpu)
    with pytest.raises(StartError, match="chosen to run on cuda, but onnxruntime took its CPUExecutionProvider"):
        Session((tiny_repository / "tiny" / "1" / "model.onnx").read_bytes(), CUDA)


@pytest.mark.parametrize(
    "words",
    [
        "Failed to allocate memory for requested buffer of size 104857600",
        "Available memory of 1048576 is smaller than requested bytes of 104857600",
        "CUDA failure 2: out of memory",
        "std::bad_alloc",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN failure 4004: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ],
)
def test_a_lack_of_memory_is_known_by_its_words(
    words: str, tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session((tiny_repository / "tiny" / "1" / "model.onnx").read_bytes(), CPU)

    def fail(*_: object) -> None:
        raise RuntimeError(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code: {words}")

    monkeypatch.setattr(session, "_run", fail)
    with pytest.raises(DeviceOutOfMemory, match=r"no memory for inputs of \[5, 6\]"):
        session.run({"input": np.ones((5, 6), np.float32)}, ["entropy"])
    words = "cuDNN does not like this shape"
    with pytest.raises(RuntimeError, match=words):
        session.run({"input": np.ones((5, 6), np.float32)}, ["entropy"])


@pytest.mark.gpu
@pytest.mark.skipif(missing_for_cuda() is not None, reason="no GPU")
def test_a_gpu_answers_what_a_cpu_answers() -> None:
    from tests.pictures import pictures
    from tests.serving import ROOT, VERSIONS

    content = (
        ROOT / "models" / "repository" / "fashion-mnist" / str(VERSIONS["fashion-mnist"]) / "model.onnx"
    ).read_bytes()
    names = ["probabilities", "submodels", "entropy", "mutual_information"]
    on_gpu = Session(content, CUDA)
    assert on_gpu.provider == "CUDAExecutionProvider"
    inputs = {"input": pictures().inputs}
    found, expected = on_gpu.run(inputs, names), Session(content, CPU).run(inputs, names)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (DeviceOutOfMemory("no memory for 2 rows"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 8589934592"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("Error parsing message with type 'onnx.ModelProto': Arena alloc failed"), True),
        (RuntimeError("not a valid graph"), False),
    ],
)
def test_want_of_memory_is_known_by_its_many_names(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
    outer = ValueError("a first run fails")
    outer.__cause__ = error
    assert is_out_of_memory(outer) is expected


def _resident() -> int:
    """MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_200_free_sizes_keep_no_more_memory_than_the_largest_needs() -> None:
    text = """<ir_version: 10, opset_import: ["" : 20]> g (float[B, H, W] x) => (float[B] y)
        <float[32, 1, 1, 1] weights = {%s}, int64[1] one = {1}, int64[3] all = {1, 2, 3}> {
            pictures = Unsqueeze(x, one)
            features = Conv<pads = [0, 0, 0, 0]>(pictures, weights)
            rectified = Relu(features)
            y = ReduceMean<keepdims = 0>(rectified, all)
        }"""
    model = onnx.parser.parse_model(text % ", ".join(["1"] * 32))
    session = Session(model.SerializeToString(), CPU, free=True)
    rng = np.random.default_rng(0)
    sizes = sorted([(512, 512), *rng.integers(8, 513, (200, 2)).tolist()], key=math.prod)  # the worst order
    session.run({"x": np.ones((1, 8, 8), np.float32)}, ["y"])
    before = _resident()
    for size in sizes:
        assert session.run({"x": np.ones((1, *size), np.float32)}, ["y"])["y"] == pytest.approx(1)
    assert _resident() - before < 2.2 * 64  # two values of 32 MiB, in an arena that doubles
