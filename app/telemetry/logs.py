"""Logs as lines of JSON on standard error: when, how grave, who says what, and of which request. Never a payload."""

import json
import logging
import sys
from datetime import UTC, datetime

_CHATTY = ("python_multipart", "PIL")  # they log what clients send wrong; that is answered
_EXTRAS = ("request_id", "model", "version", "status", "code", "seconds")


class JsonLines(logging.Formatter):
    """A record as one line of ASCII: whatever a client smuggled into a message is escaped, other line ends too."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def install() -> None:
    """Everything that is logged in this process, by whichever library, goes out in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
