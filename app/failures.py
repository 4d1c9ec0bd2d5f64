"""What goes wrong where no client reads of it: the operator does, or the code that tries something else."""


class ClientGone(Exception):
    """The client disconnected before it was answered; never sent, since nobody is left to read it."""


class StartError(Exception):
    """The service cannot start as configured; for the operator, never for a client."""


class ModelRejected(Exception):
    """A file in the repository is not fit to be served; the message is the reason."""


class FileUnreadable(ModelRejected):
    """A file cannot be read now, or has changed since it was verified: worth another look, even with the same stamp."""


class PolicyMismatch(ModelRejected, StartError):
    """The operator's policy needs a score, percentile or threshold that the model does not have."""


class DeviceOutOfMemory(Exception):
    """The device lacks the memory for a batch; a smaller one may fit."""
