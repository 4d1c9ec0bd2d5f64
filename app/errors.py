"""The errors of the service: each class carries its HTTP status, its code, and only what a client may be told."""


class ServiceError(Exception):
    """An error that a client is told about; `field` names the part of the request that it is about."""

    status = 500
    code = "internal_error"
    retry_after: int | None = None
    """In how many seconds it may be worth another try."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidInput(ServiceError):
    """The request is well-formed but not what the model or the schema expects."""

    status = 422
    code = "invalid_input"


class MalformedBody(ServiceError):
    """The body is not of its content type, or not what its encoding says."""

    status = 422
    code = "malformed_body"


class UnknownModel(ServiceError):
    """No such model in the store; the message lists those there are."""

    status = 404
    code = "unknown_model"


class UnknownVersion(ServiceError):
    """The model has no such version, or it is not one that is served; the message lists those there are."""

    status = 404
    code = "unknown_version"


class Unauthorized(ServiceError):
    """The request brings no API key, or none that is known."""

    status = 401
    code = "unauthorized"


class InsufficientScope(ServiceError):
    """The API key is not one for this."""

    status = 403
    code = "insufficient_scope"


class RateLimited(ServiceError):
    """The API key was used more often than it may be."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AdminDisabled(ServiceError):
    """Models are loaded and unloaded on request only where a setting allows it."""

    status = 403
    code = "admin_disabled"


class UnsupportedMediaType(ServiceError):
    """The body is of a kind that this route does not read."""

    status = 415
    code = "unsupported_media_type"


class BodyTooLarge(ServiceError):
    """The body is over the limit; it was not read to its end."""

    status = 413
    code = "body_too_large"


class RequestTimeout(ServiceError):
    """The body did not come to its end in time."""

    status = 408
    code = "request_timeout"


class NotReady(ServiceError):
    """The service cannot answer predictions now."""

    status = 503
    code = "not_ready"


class VersionRejected(ServiceError):
    """No version of the model in the store is fit to be loaded; the message says why."""

    status = 409
    code = "version_rejected"


class QueueFull(ServiceError):
    """As many rows wait as may; in `retry_after` seconds they should be through."""

    status = 503
    code = "queue_full"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(ServiceError):
    """The time that a request may wait was up before all of its rows were at work; the rest is not computed."""

    status = 504
    code = "deadline_exceeded"


class OutOfMemory(ServiceError):
    """The device has no memory left for even one row."""

    status = 503
    code = "out_of_memory"


class DeviceFailed(ServiceError):
    """The device fails at what it could do before, and the service can't mend it."""

    status = 503
    code = "device_failed"


class ModelFailed(ServiceError):
    """The graph failed on these rows."""

    status = 500
    code = "model_failed"


class OutputNotFinite(ServiceError):
    """The model answered NaN or infinity. Never sent on: JSON has no such numbers."""

    status = 500
    code = "output_not_finite"


class ClientGone(Exception):
    """The client went away before it was answered; there is nobody to tell."""


class StartError(Exception):
    """The service cannot start as it was asked to; for the operator, never for a client."""


class ModelRejected(Exception):
    """A file in the store is not fit to be served; the message is the reason."""


class PolicyMismatch(ModelRejected, StartError):
    """The operator's policy wants a score, percentile or promise that the model does not have."""


class DeviceOutOfMemory(Exception):
    """The device could not find memory for a batch; a smaller one may fit."""
