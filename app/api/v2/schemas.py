"""The public shapes of /v2's responses, as the OpenAPI document shows them; those of infer are written by hand."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.v2.infer_request import Datatype


class V2Error(BaseModel):
    """The body of every answer of /v2 that is not a success."""

    error: str


class Live(BaseModel):
    """Whether the process answers."""

    live: bool


class Ready(BaseModel):
    """Whether inferences are answered."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model answers."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """The server and what it can do beyond the protocol's core."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or output."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="−1 for an axis of any size, such as the number of rows")


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str] = Field(description="Those that answer")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ResponseParameters(BaseModel):
    """How an output comes."""

    binary_data_size: int = Field(ge=0, description="Its bytes after the JSON, instead of `data`")


class InferredTensor(BaseModel):
    """An output tensor."""

    name: str
    datatype: Datatype
    shape: list[int]
    parameters: ResponseParameters | None = None
    data: list[Any] | None = Field(None, description="Row-major, flat")


class InferAnswer(BaseModel):
    """The outputs of a model."""

    id: str | None = None
    model_name: str
    model_version: str
    outputs: list[InferredTensor]


class IndexEntry(BaseModel):
    """A version in the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str | None = Field(None, description="Why it does not answer, or what is to be known of it")


class StatisticDuration(BaseModel):
    """How often, and how long in all."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Requests by how they ended, and what the time of the successful ones went to; each is given the whole time of its
    batch."""

    success: StatisticDuration
    fail: StatisticDuration
    queue: StatisticDuration
    compute_input: StatisticDuration
    compute_infer: StatisticDuration
    compute_output: StatisticDuration
    cache_hit: StatisticDuration
    cache_miss: StatisticDuration


class BatchStatistics(BaseModel):
    """Batches of one size."""

    batch_size: int
    compute_infer: StatisticDuration


class VersionStatistics(BaseModel):
    """What a version has done."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since 1970; 0 for never")
    inference_count: int = Field(description="Rows")
    execution_count: int = Field(description="Batches")
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]
    memory_usage: list[Any]


class ModelStatistics(BaseModel):
    """What versions have done."""

    model_stats: list[VersionStatistics]


class TensorConfig(BaseModel):
    """An input or output as Triton's configuration has it."""

    name: str
    data_type: str
    dims: list[int] = Field(description="Without the axis of rows where `max_batch_size` is not 0")


class ModelConfig(BaseModel):
    """A model as Triton's tools expect it to be configured."""

    name: str
    platform: str
    backend: str = "onnxruntime"
    max_batch_size: int = Field(description="Most rows in a request; 0 for a model without an axis of rows")
    input: list[TensorConfig]
    output: list[TensorConfig]
    dynamic_batching: dict[str, int] | None = Field(None, description="Absent where requests run by themselves")
