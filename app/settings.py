"""The settings of the service, from environment variables. `__main__` reads them once and passes them down."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.auth.keys import Key, parse_keys
from app.contract import policy
from app.contract.policy import Clause
from app.contract.repository import parse_reference
from app.feedback.signer import parse_secrets


class Settings(BaseSettings):
    """Every setting with its default; its description is the only place that says what it does."""

    model_config = SettingsConfigDict(env_prefix="MASKSEMBLES_", env_ignore_empty=True, frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 lets the system choose")
    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for the Open Inference Protocol over gRPC, which needs the extra `grpc`; 0 lets the system "
        "choose. By default there is no gRPC",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that serve on the port together, each with all models; limits are of all together, and "
        "the cores are divided among them",
    )
    # NoDecode: pydantic-settings would read tuples and dicts as JSON
    keys: Annotated[tuple[Key, ...], NoDecode] = Field(
        (),
        description="API keys, each as `name:scope+scope:sha256`, separated by commas; the scopes are `predict`, "
        "`metrics` and `admin`. `python -m app --new-key NAME` makes one",
    )
    keys_file: Path | None = Field(
        None, description="File with more keys, one a line. It is read again when it changes, so keys can be rotated"
    )
    allow_anonymous: bool = Field(
        False, description="Start without keys even where other machines can connect; all who can are let in"
    )
    rate_limit: float | None = Field(
        None, gt=0, description="Most requests a second for each key, or for all requests that bring none"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose web pages may call the service from a browser, separated by commas"
    )
    model_repository: Path = Field(
        Path(__file__).parents[1] / "models" / "repository",
        description="Folder with the models, as `<name>/<version>/model.onnx`",
    )
    default_model: str | None = Field(
        None, description="Model that answers requests that name none; not needed where there is only one"
    )
    pin: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict,
        description="Versions that answer instead of the highest, as `name:version`, separated by commas",
    )
    keep_versions: int = Field(
        0, ge=0, description="How many valid versions below the default one stay available to requests that name them"
    )
    load: Literal["start", "lazy"] = Field(
        "start",
        description="When models are loaded: all at the `start`, or each with its first request, which waits (`lazy`). "
        "Either way they are verified at the start",
    )
    poll_seconds: float = Field(
        2.0, ge=0, description="How often the service looks for new versions, in seconds; 0 for never"
    )
    enable_admin: bool = Field(
        False, description="Let requests load and unload models; where there are keys, those with the scope `admin`"
    )
    allow_bare_onnx: bool = Field(
        False, description="Serve ONNX files without a contract, too; only below `/v2`, and without uncertainty"
    )
    policy: Annotated[dict[str, tuple[Clause, ...]], NoDecode] = Field(
        default_factory=dict,
        description="Policies that replace the models' own, as `name=rules`, separated by semicolons; `*` stands for "
        "all other models and `none` for no policy: `digits=reject energy>p99, defer entropy>0.62; *=none`",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where models run: `cpu`; `cuda`, which does not start without a usable GPU; `auto` takes a GPU "
        "where one is usable",
    )
    tf32: bool = Field(False, description="Multiply faster on a GPU, with inputs rounded to 10 bits of mantissa")
    cuda_graphs: bool = Field(False, description="Record each batch size on a GPU once and replay it")
    gpu_memory_mb: int | None = Field(None, ge=1, description="Most GPU memory for each model's runs, in MiB")
    max_batch: int = Field(64, ge=1, le=4096, description="Most rows that a device runs at once")
    max_delay_ms: float = Field(
        0.0, ge=0, le=1000, description="How long a batch waits for more rows, in milliseconds; 0 runs what there is"
    )
    max_queue_rows: int = Field(
        1024, ge=1, description="Most rows that wait for a device; requests beyond that get a 503 at once"
    )
    queue_timeout_ms: int = Field(
        10_000,
        ge=1,
        description="How long rows wait for a device and run on it, in milliseconds; a request may ask for less, never "
        "for more",
    )
    stuck_seconds: float = Field(
        30.0,
        gt=0,
        description="A device is stuck when a run on it takes longer than this, in seconds, and longer than "
        "`MASKSEMBLES_STUCK_FACTOR` allows. While no other device works, `/health/ready` is 503",
    )
    stuck_factor: float = Field(
        20.0, ge=1, description="How many times longer than such a run usually takes, before its device is stuck"
    )
    stuck_grace_seconds: float = Field(
        30.0,
        ge=0,
        description="How long no device may work, in seconds, before `/health/live` is 503, so that the service is "
        "restarted; and how long a stuck run may hold up the event loop before the process ends",
    )
    max_body_bytes: int = Field(16 * 2**20, ge=1, description="Largest request body, in bytes")
    memory_budget_mb: int | None = Field(
        None,
        ge=1,
        description="Most memory that requests hold together as bodies, waiting inputs and answers, in MiB; what does "
        "not fit gets a 503 before its body is read. By default a quarter of the memory of the container, or else of "
        "the machine",
    )
    max_rows: int = Field(1024, ge=1, description="Most rows in a request")
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Most connections that are open at once. For one more, the longest idle one is closed; where none "
        "is idle, it gets a 503. By default what `ulimit -n` leaves, at most 4096",
    )
    head_timeout_seconds: float = Field(
        10.0,
        gt=0,
        description="How long a client may take to send the head of a request, in seconds: from when it connects, or "
        "from the first byte of a later request",
    )
    feedback_secret: SecretStr | None = Field(
        None,
        description="Secret that signs receipts, of 32 characters or more; without one there are no receipts. Two, "
        "separated by a comma, while it is being changed: the first signs, both are accepted",
    )
    feedback_secret_file: Path | None = Field(
        None, description="File with the secret instead, or with two, one a line; read once at the start"
    )
    feedback_days: float = Field(
        30.0, gt=0, le=3650, description="How long after an answer its truth is counted, in days"
    )
    feedback_url: SecretStr | None = Field(
        None,
        description="Database that remembers which receipts were counted, for all replicas with the same one, and "
        "keeps what a recalibration needs: the path of a file of SQLite, or a URL of SQLAlchemy for SQLite or "
        "PostgreSQL. Needs the extra `feedback`. Inputs are never stored",
    )
    feedback_rows: int = Field(
        1_000_000,
        ge=1000,
        description="Most rows whose outputs that database keeps; of more it keeps a random sample",
    )
    page: bool = Field(True, description="Show a page at `/` on which people try models")
    access_log: bool = Field(False, description="Log every request, not only those that fail")

    @property
    def reached_by_others(self) -> bool:
        """Whether other machines can connect to the address."""
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:  # any other name may resolve to an address that others reach
            return self.host != "localhost"

    @property
    def feedback_secrets(self) -> tuple[bytes, ...]:
        """The secrets that sign receipts, the one in use first; none if there are to be no receipts.

        Raises:
            OSError, ValueError: the file cannot be read, or holds no secrets.
        """
        if self.feedback_secret_file is not None:
            return parse_secrets(self.feedback_secret_file.read_text(encoding="utf-8-sig"))
        return () if self.feedback_secret is None else parse_secrets(self.feedback_secret.get_secret_value())

    @field_validator("feedback_secret", mode="after")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_secrets(value.get_secret_value())
        return value

    @field_validator("feedback_secret_file", mode="after")
    @classmethod
    def _check_secret_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                parse_secrets(value.read_text(encoding="utf-8-sig"))
            except OSError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        return parse_keys(value) if isinstance(value, str) else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _parse_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("pin", mode="before")
    @classmethod
    def _parse_pin(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [parse_reference(part.strip()) for part in value.split(",") if part.strip()]
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a model is pinned twice")
        return dict(pairs)

    @field_validator("policy", mode="before")
    @classmethod
    def _parse_policy(cls, value: object) -> object:
        return policy.parse_all(value) if isinstance(value, str) else value
