"""What the protocol tells about the server, its models and its repository, over REST and over gRPC."""

from typing import Any, Literal

from app import __version__
from app.api.inference import RequestedModel
from app.api.services import Services
from app.api.v2 import tensors
from app.api.v2.schemas import IndexEntry, ModelConfig, ModelMetadata, ModelStatistics, ServerMetadata
from app.contract.signature import Port
from app.engine.model_versions import AvailableModel, ModelVersions, VersionStatus
from app.engine.registry import ModelRegistry
from app.errors import UnknownModel, UnknownVersion
from app.settings import Settings
from app.telemetry.statistics import Duration, Statistics

_EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "statistics", "model_configuration"]
_PLATFORM = "onnxruntime_onnx"  # Triton's name for it
_TYPES = {"float16": "TYPE_FP16", "float32": "TYPE_FP32", "float64": "TYPE_FP64", "str": "TYPE_STRING"}

SERVER = ServerMetadata(name="masksembles", version=__version__, extensions=_EXTENSIONS)
"""The server; only extensions that exist are named."""


def is_ready(of: Services, target: RequestedModel) -> bool:
    """Whether a model, or one version of it, answers.

    Raises:
        UnknownModel, UnknownVersion: it is not in the repository.
    """
    try:
        of.registry.find(*target)
    except (UnknownModel, UnknownVersion):
        there = of.registry.models.get(target.name or "")
        if there is None or target.version not in (None, *(version.number for version in there.versions)):
            raise
        return False
    return not of.stopping and of.batcher.watchdog.no_device() is None  # clients ask for a model, not for the service


def metadata(of: Services, model: AvailableModel) -> ModelMetadata:
    """Inputs and outputs of a model, and its versions that answer."""
    there = of.registry.models.get(model.name, ModelVersions())  # it may have gone since
    loaded = {other.version for other in (model, *there.available)}
    return ModelMetadata(
        name=model.name,
        versions=[str(version) for version in sorted(loaded)],
        platform=_PLATFORM,
        inputs=[_tensor(port) for port in model.signature.inputs],
        outputs=[_tensor(port) for port in model.signature.outputs],
    )


def config(settings: Settings, model: AvailableModel) -> ModelConfig:
    """A model as Triton's tools expect it to be configured."""
    rows = 0 if model.contract is None else settings.max_rows
    return ModelConfig(
        name=model.name,
        platform=_PLATFORM,
        max_batch_size=rows,
        input=[_typed_tensor(port, batched=rows > 0) for port in model.signature.inputs],
        output=[_typed_tensor(port, batched=rows > 0) for port in model.signature.outputs],
        dynamic_batching=None
        if model.contract is None
        else {"max_queue_delay_microseconds": round(1000 * settings.max_delay_ms)},
    )


def index(registry: ModelRegistry, *, only_ready: bool) -> list[IndexEntry]:
    """Every version in the repository, or those that answer."""
    entries = [
        IndexEntry(name=name, version=str(version.number), state=_state(version), reason=_reason(version))
        for name, found in sorted(registry.models.items())
        for version in found.versions
    ]
    return [entry for entry in entries if entry.state == "READY" or not only_ready]


def statistics(of: Services, model: AvailableModel | None = None) -> ModelStatistics:
    """What a version has done, or each that answers."""
    models = [model] if model is not None else _available(of.registry)
    counted = of.telemetry.statistics()
    return ModelStatistics(
        model_stats=[_statistics(found, counted.get(f"{found.name}:{found.version}", Statistics())) for found in models]
    )


def _available(registry: ModelRegistry) -> list[AvailableModel]:
    return [model for _, found in sorted(registry.models.items()) for model in found.available]


def _tensor(port: Port) -> Any:
    return {"name": port.name, "datatype": tensors.DATATYPES[port.dtype], "shape": tensors.shape_of(port)}


def _typed_tensor(port: Port, *, batched: bool) -> Any:
    kind = _TYPES.get(port.dtype, f"TYPE_{port.dtype.upper()}")
    return {"name": port.name, "data_type": kind, "dims": tensors.shape_of(port)[1 if batched else 0 :]}


def _state(version: VersionStatus) -> Literal["READY", "UNAVAILABLE"]:
    return "READY" if version.state == "available" else "UNAVAILABLE"


def _reason(version: VersionStatus) -> str | None:
    if version.reason is not None or _state(version) == "READY":
        return version.reason
    return version.state


def _statistics(model: AvailableModel, counted: Statistics) -> Any:
    batches = [
        {"batch_size": rows, "compute_infer": _duration(batch)} for rows, batch in sorted(counted.batches.items())
    ]
    return {
        "name": model.name,
        "version": str(model.version),
        "last_inference": 0 if counted.last is None else int(1000 * counted.last),
        "inference_count": counted.rows,
        "execution_count": counted.runs,
        "inference_stats": {
            "success": _duration(counted.success),
            "fail": _duration(counted.fail),
            "queue": _duration(counted.queue),
            "compute_input": _duration(counted.compute_input),
            "compute_infer": _duration(counted.compute_infer),
            "compute_output": _duration(counted.compute_output),
            "cache_hit": _duration(Duration()),
            "cache_miss": _duration(Duration()),
        },
        "batch_stats": batches,
        "memory_usage": [],
    }


def _duration(found: Duration) -> dict[str, int]:
    return {"count": found.count, "ns": round(1e9 * found.seconds)}
