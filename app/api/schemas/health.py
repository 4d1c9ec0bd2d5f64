"""What the service reports about its health."""

from typing import Literal

from pydantic import BaseModel, Field


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Predictions are answered, where and by which models."""

    status: Literal["ready"] = "ready"
    device: Literal["cpu", "cuda"]
    device_setting: Literal["auto", "cpu", "cuda"] = Field(description="The setting MASKSEMBLES_DEVICE")
    device_reason: str = Field(description="Why this device was chosen")
    models: dict[str, int] = Field(description="The version of each model that answers by default")
