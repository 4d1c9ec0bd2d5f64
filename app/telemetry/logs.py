"""Logs as lines of JSON on standard error: time, level, logger, message and request. Never a payload."""

import json
import logging
import sys
from datetime import UTC, datetime

_CHATTY = ("python_multipart", "PIL")  # they log clients' mistakes, which the answer names
_EXTRAS = ("request_id", "trace_id", "model", "version", "status", "code", "seconds")


class JsonLines(logging.Formatter):
    """Formats a record as one line of ASCII: whatever a client smuggled into a message is escaped, also line ends.

    Args:
        worker: the number of the process among several.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._of = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._of,
            **{name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # not orjson: ASCII escapes U+2028 and the other line ends, too


def install(worker: int | None = None) -> None:
    """Makes every library in this process log in this format; lines of one of several processes say which it is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
