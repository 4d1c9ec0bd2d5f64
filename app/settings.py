"""The settings of the service, from the environment (prefix MASKSEMBLES_). Read once in `__main__`, passed down."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.auth.keys import Key, parse_keys
from app.contract import policy
from app.contract.policy import Clause
from app.contract.repository import parse_reference


class Settings(BaseSettings):
    """Every setting, its default and what it does. README's table repeats them. What is empty is not set."""

    model_config = SettingsConfigDict(env_prefix="MASKSEMBLES_", env_ignore_empty=True, frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on")
    keys: Annotated[tuple[Key, ...], NoDecode] = Field(
        (),
        description="API keys, each as `name:scope+scope:sha256`, separated by commas; scopes are `predict`, `metrics` "
        "and `admin`; `python -m app --new-key NAME` makes one",
    )
    keys_file: Path | None = Field(
        None, description="File with more of them, one a line; read again when it changes, so that keys can be rotated"
    )
    allow_anonymous: bool = Field(
        False, description="Whether to start without keys where others than this machine can connect"
    )
    rate_limit: float | None = Field(
        None, gt=0, description="Most requests a second for each key, or for all that come without; none for no limit"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the service from a browser, separated by commas; none by default"
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 lets the system choose")
    model_repository: Path = Field(
        Path(__file__).parents[1] / "models" / "repository",
        description="Folder with the models, `<name>/<version>/model.onnx`",
    )
    default_model: str | None = Field(
        None,
        description="Model that answers a request without `model`; needless where the store has only one",
    )
    pin: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict,
        description="Versions to serve instead of the highest, as `name:version`, several separated by commas",
    )
    policy: Annotated[dict[str, tuple[Clause, ...]], NoDecode] = Field(
        default_factory=dict,
        description="What to do with doubtful answers instead of what a model itself says, as `name=rules`, several "
        "separated by semicolons, `*` for all others: `digits=reject energy>p99, defer entropy>0.62; *=none`",
    )
    keep_versions: int = Field(
        0, ge=0, description="How many valid versions below the one that answers stay loaded, for requests naming them"
    )
    load: Literal["start", "lazy"] = Field(
        "start",
        description="When models are loaded: all that answer at the `start`, or each on its `lazy`, which waits "
        "for it; verified they are at the start in any case",
    )
    poll_seconds: float = Field(2.0, ge=0, description="How often the store is looked at for new versions; 0 for never")
    enable_admin: bool = Field(
        False,
        description="Whether models may be loaded and unloaded on request; where there are keys, by those for `admin`",
    )
    allow_bare_onnx: bool = Field(
        False, description="Whether ONNX files without a contract are served, too, through /v2 alone"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="`cuda` (does not start without a usable GPU), `cpu`, or `auto`: CUDA where it is usable",
    )
    tf32: bool = Field(False, description="Faster products on a GPU, rounded to 10 bits of mantissa")
    cuda_graphs: bool = Field(False, description="Record each batch size on a GPU once and replay it")
    gpu_memory_mb: int | None = Field(None, ge=1, description="Most memory of a GPU for each model's runs, in MiB")
    max_batch: int = Field(64, ge=1, le=4096, description="Most rows that a device runs at once")
    max_delay_ms: float = Field(
        0.0, ge=0, le=1000, description="How long a batch that is not full waits for more rows; 0 runs what there is"
    )
    max_queue_rows: int = Field(1024, ge=1, description="Most rows that wait for a device; more are refused with 503")
    queue_timeout_ms: int = Field(
        10_000, ge=1, description="How long rows may wait for a device; a request may ask for less, not for more"
    )
    max_body_bytes: int = Field(16 * 2**20, ge=1, description="Largest request body, in bytes")
    max_rows: int = Field(1024, ge=1, description="Most rows in a request")
    access_log: bool = Field(False, description="Whether every request is logged, and not only what fails")

    @property
    def reached_by_others(self) -> bool:
        """Whether the address is one that not only this machine can connect to."""
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

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
