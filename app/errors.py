"""The errors of the service. Each class carries its HTTP and gRPC status, its code, and only what a client may see.

The classes are the only place for these facts: handlers, the OpenAPI document and docs/errors.md are made from them.
"""

from typing import ClassVar


class ServiceError(Exception):
    """An error that is reported to the client; `field` names the part of the request that caused it.

    The base class itself stands for an unexpected failure.
    """

    status: ClassVar[int] = 500
    """HTTP's."""
    grpc_status: ClassVar[str] = "INTERNAL"
    """Name of gRPC's; of an error that only HTTP has, the one that comes closest."""
    code: ClassVar[str] = "internal_error"
    summary: ClassVar[str] = "The service failed in a way that nobody foresaw; its log says why"
    """When the error occurs, in one line for people."""
    example: ClassVar[str] = "the service failed on this request; its log says why"
    """A message as a client may see it."""
    example_field: ClassVar[str | None] = None
    headers: ClassVar[tuple[str, ...]] = ()
    """Headers that its response may carry in addition to those of every response."""
    retry_after: int | None = None
    """In how many seconds the client may try again."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class RetryLater(ServiceError):
    """What may be otherwise in `retry_after` seconds; one class for each reason."""

    headers = ("Retry-After",)

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidInput(ServiceError):
    """The request is well-formed, but not what the model or the schema expects."""

    status = 422
    grpc_status = "INVALID_ARGUMENT"
    code = "invalid_input"
    summary = "A field is missing, unknown, or not what the model or the schema expects"
    example = "expected values in [0, 1] (grey value), got 1.5"
    example_field = "inputs[0][0][2][3]"


class MalformedBody(ServiceError):
    """The body does not match its content type or its encoding."""

    status = 422
    grpc_status = "INVALID_ARGUMENT"
    code = "malformed_body"
    summary = "The body is not of its content type, or not what its encoding says"
    example = "NaN at byte 14: JSON has no such number, expected finite numbers"
    example_field = "inputs"


class MalformedRequest(ServiceError):
    """The bytes on the connection are not HTTP/1.1; the connection is closed."""

    status = 400
    grpc_status = "INVALID_ARGUMENT"
    code = "malformed_request"
    summary = "What was sent is not HTTP/1.1; the connection is closed"
    example = "expected a request of HTTP/1.1"


class HeadersTooLarge(ServiceError):
    """Request line and headers are over the limit, or the framing around the body's chunks is."""

    status = 431
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "headers_too_large"
    summary = "Request line and headers are over the limit; the connection is closed"
    example = "the head of a request may have 65536 bytes and 256 fields"


class NotFound(ServiceError):
    """No route has this path, or the service has no such RPC."""

    status = 404
    grpc_status = "UNIMPLEMENTED"
    code = "not_found"
    summary = "There is no such path"
    example = "no such path: /predictions"


class MethodNotAllowed(ServiceError):
    """The path does not support this method; the header Allow names those that it does."""

    status = 405
    grpc_status = "UNIMPLEMENTED"
    code = "method_not_allowed"
    summary = "The path has no such method; the header `Allow` names those it has"
    example = "GET is not allowed here"
    headers = ("Allow",)


class UnknownModel(ServiceError):
    """The repository has no such model; the message lists the models that it has."""

    status = 404
    grpc_status = "NOT_FOUND"
    code = "unknown_model"
    summary = "There is no such model, or none of its versions is available"
    example = "no model 'cats' is served; there are: digits"
    example_field = "model"


class UnknownVersion(ServiceError):
    """The model has no such version, or it is not available; the message lists the versions that are."""

    status = 404
    grpc_status = "NOT_FOUND"
    code = "unknown_version"
    summary = "The model has no such version, or it is not available"
    example = "version 9 of 'digits' is not served; there are: 3"
    example_field = "version"


class Unauthorized(ServiceError):
    """The request carries no API key, or an unknown one."""

    status = 401
    grpc_status = "UNAUTHENTICATED"
    code = "unauthorized"
    summary = "No API key, or one that is not known"
    example = "the API key is not known here"
    headers = ("WWW-Authenticate",)


class InsufficientScope(ServiceError):
    """The API key lacks the scope that the path needs."""

    status = 403
    grpc_status = "PERMISSION_DENIED"
    code = "insufficient_scope"
    summary = "The API key does not have the scope that the path needs"
    example = "the key 'ci' does not have the scope admin"


class RateLimited(RetryLater):
    """The API key has exceeded its rate limit."""

    status = 429
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "rate_limited"
    summary = "Too many requests a second for this key; `Retry-After` says how many seconds to wait"
    example = "more than 10 requests a second (MASKSEMBLES_RATE_LIMIT)"


class AdminDisabled(ServiceError):
    """No setting allows requests to load and unload models."""

    status = 403
    grpc_status = "PERMISSION_DENIED"
    code = "admin_disabled"
    summary = "Loading and unloading on request is switched off"
    example = "models are loaded and unloaded on request only with MASKSEMBLES_ENABLE_ADMIN=true"


class FeedbackDisabled(ServiceError):
    """No secret signs receipts, so none can come back."""

    status = 403
    grpc_status = "PERMISSION_DENIED"
    code = "feedback_disabled"
    summary = "The service issues no receipts, so it takes none"
    example = "there is no feedback without MASKSEMBLES_FEEDBACK_SECRET"


class FeedbackUnavailable(RetryLater):
    """The database that remembers which receipts were counted takes none now."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "feedback_unavailable"
    summary = "The database of feedback does not answer, or is full; send the same again after `Retry-After` seconds"
    example = "the database of feedback cannot be reached; send the same again, each receipt counts once"


class UnsupportedMediaType(ServiceError):
    """The route does not read this type of body or its encoding."""

    status = 415
    grpc_status = "UNIMPLEMENTED"
    code = "unsupported_media_type"
    summary = "The route does not read this `Content-Type` or `Content-Encoding`"
    example = "expected Content-Encoding: gzip or deflate, got br"


class BodyTooLarge(ServiceError):
    """The body is over the limit and was not read to its end."""

    status = 413
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "body_too_large"
    summary = "The body is over the limit; it is not read to its end"
    example = "the body is larger than the 16777216 bytes that are accepted (MASKSEMBLES_MAX_BODY_BYTES)"


class RequestTimeout(ServiceError):
    """The head or the body did not arrive in time."""

    status = 408
    grpc_status = "DEADLINE_EXCEEDED"
    code = "request_timeout"
    summary = "The head or the body did not arrive in time"
    example = "the body did not come within 60 seconds"


class NotReady(ServiceError):
    """The service cannot make predictions now."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "not_ready"
    summary = "No model is available, no device works, or the service is stopping"
    example = "no model is loaded; GET /models says why"


class VersionRejected(ServiceError):
    """No version of the model in the repository is fit to be served; the message says why."""

    status = 409
    grpc_status = "FAILED_PRECONDITION"
    code = "version_rejected"
    summary = "No version of the model is fit to be served; the message says why"
    example = "no version of 'digits' is fit to be served (1: not an ONNX file)"
    example_field = "name"


class QueueFull(RetryLater):
    """The queue is full; in `retry_after` seconds the rows in it should be done."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "queue_full"
    summary = "Too many rows wait for a device; `Retry-After` says how many seconds to wait"
    example = "1024 rows wait already (MASKSEMBLES_MAX_QUEUE_ROWS)"


class MemoryFull(RetryLater):
    """Requests hold so much memory that this one does not fit; in `retry_after` seconds it may."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "memory_full"
    summary = "No memory is left for the body, the inputs or the answer; `Retry-After` says how many seconds to wait"
    example = (
        "requests hold 260046848 bytes of at most 268435456 (MASKSEMBLES_MEMORY_BUDGET_MB), which leaves no memory for "
        "the 16777216 of this one"
    )


class ConnectionsFull(RetryLater):
    """All connections that may be open are at work; in `retry_after` seconds one may not be."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "connections_full"
    summary = "Too many connections are open, and none of them is idle; `Retry-After` says how many seconds to wait"
    example = "4096 connections are at work (MASKSEMBLES_MAX_CONNECTIONS)"


class PipelineFull(RetryLater):
    """Too many requests of a connection wait for earlier ones; in `retry_after` seconds they may not."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "pipeline_full"
    summary = "Too many requests came on a connection before their predecessors were answered; those are answered first"
    example = "16 requests of this connection wait for earlier ones already"


class DeadlineExceeded(ServiceError):
    """The request's time was up before all its rows were computed; what has not begun is not computed."""

    status = 504
    grpc_status = "DEADLINE_EXCEEDED"
    code = "deadline_exceeded"
    summary = "The deadline passed before all rows were computed; what has not begun is not computed"
    example = "no device was free for these rows within 100 ms"


class OutOfMemory(ServiceError):
    """The device has no memory left for even one row."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "out_of_memory"
    summary = "The device has no memory left for even one row"
    example = "digits:1: no memory for 1 rows"


class DeviceFailed(ServiceError):
    """The device no longer does what it could do before, and only a restart may help."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "device_failed"
    summary = "The device fails at what it could do before; the service has to be restarted"
    example = "device 0 fails at what it did before; restart the service (CUDA error 719)"


class DeviceStuck(ServiceError):
    """No device works, and at least one of them has not come back from a run."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "device_stuck"
    summary = "The device has not come back from a run that takes far longer than usual; it may, or need a restart"
    example = "device 0 has not come back from a run of digits:1 on 16 rows for 75 seconds"


class ModelFailed(ServiceError):
    """The graph failed on these rows."""

    status = 500
    grpc_status = "INTERNAL"
    code = "model_failed"
    summary = "The model failed on these rows"
    example = "digits:1 failed on these rows"


class OutputNotFinite(ServiceError):
    """The model's output holds NaN or infinity, which JSON cannot represent."""

    status = 500
    grpc_status = "INTERNAL"
    code = "output_not_finite"
    summary = "The model answered NaN or infinity, which is never sent on"
    example = "digits:1 gave NaN or infinity in energy"


def service_errors(of: type[ServiceError] = ServiceError) -> tuple[type[ServiceError], ...]:
    """Every class of error that may be reported to a client, the base class first."""
    own = () if of is RetryLater else (of,)  # it only gathers others
    return (*own, *(kind for direct in of.__subclasses__() for kind in service_errors(direct)))
