"""The public shapes of /v2, as the OpenAPI document shows them. Requests and answers of infer are read and written by
hand, in another way than these classes would; tests hold the two together."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]  # fmt: skip


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


class InputParameters(BaseModel):
    """How an input comes."""

    model_config = ConfigDict(extra="allow")

    binary_data_size: int | None = Field(None, ge=0, description="Its bytes after the JSON, instead of `data`")


class InferInput(BaseModel):
    """An input tensor."""

    name: str
    datatype: Datatype
    shape: list[Annotated[int, Field(ge=0)]]
    parameters: InputParameters | None = None
    data: list[Any] | None = Field(None, description="Row-major, nested as `shape` says or flat")


class OutputParameters(BaseModel):
    """How an output is wanted."""

    model_config = ConfigDict(extra="allow")

    binary_data: bool | None = Field(None, description="As bytes after the JSON")
    classification: int | None = Field(
        None, ge=0, description="The so many largest values of each row, as texts `value:index:label`"
    )


class InferOutput(BaseModel):
    """An output that is wanted."""

    name: str
    parameters: OutputParameters | None = None


class InferParameters(BaseModel):
    """What holds for a whole request."""

    model_config = ConfigDict(extra="allow")

    binary_data_output: bool | None = Field(None, description="Outputs as bytes, unless one says otherwise")
    timeout: int | None = Field(None, ge=0, description="How long it may wait for a device, in microseconds")


class InferRequest(BaseModel):
    """Tensors to run a model on."""

    id: str | None = Field(None, description="Comes back in the answer as it is")
    parameters: InferParameters | None = None
    inputs: list[InferInput]
    outputs: list[InferOutput] | None = Field(None, description="Default: all")


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


class IndexRequest(BaseModel):
    """Which versions to list."""

    ready: bool = Field(False, description="Only those that answer")


class ControlRequest(BaseModel):
    """Parameters of loading; none is supported."""

    parameters: dict[str, Any] | None = None


class IndexEntry(BaseModel):
    """A version in the store."""

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
