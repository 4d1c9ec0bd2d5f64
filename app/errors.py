"""The errors of the service: each class carries its HTTP status, its code, and only what a client may be told."""


class ServiceError(Exception):
    """An error that a client is told about; `field` names the part of the request that it is about."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidInput(ServiceError):
    """The request is well-formed JSON but not what the model or the schema expects."""

    status = 422
    code = "invalid_input"


class MalformedBody(ServiceError):
    """The body is not JSON."""

    status = 422
    code = "malformed_body"


class UnknownModel(ServiceError):
    """No such model in the store; the message lists those there are."""

    status = 404
    code = "unknown_model"


class UnknownVersion(ServiceError):
    """The model has no such version, or it is not the one that is served; the message lists those there are."""

    status = 404
    code = "unknown_version"


class WrongContentType(ServiceError):
    """The body is of a kind that this route does not read."""

    status = 415
    code = "unsupported_content_type"


class BodyTooLarge(ServiceError):
    """The body is over the limit; it was not read to its end."""

    status = 413
    code = "body_too_large"


class NotReady(ServiceError):
    """The service cannot answer predictions now."""

    status = 503
    code = "not_ready"


class OutputNotFinite(ServiceError):
    """The model answered NaN or infinity. Never sent on: JSON has no such numbers."""

    status = 500
    code = "output_not_finite"


class StartError(Exception):
    """The service cannot start as it was asked to; for the operator, never for a client."""


class ModelRefused(Exception):
    """A file in the store is not fit to be served; the message is the reason."""
