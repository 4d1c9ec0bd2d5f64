"""The error body."""

from pydantic import BaseModel, Field

from app.errors import service_errors


class Error(BaseModel):
    """What went wrong."""

    code: str = Field(
        description=f"Stable, for programs: {', '.join(f'`{kind.code}`' for kind in service_errors())}; others may come"
    )
    message: str = Field(description="For people; names what was expected")
    field: str | None = Field(None, description="The part of the request that it is about")
    request_id: str = Field(description="As in the header X-Request-ID")


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: Error
