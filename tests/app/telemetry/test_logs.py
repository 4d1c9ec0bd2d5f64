import json
import logging
import subprocess
import sys
from pathlib import Path

from app.telemetry.logs import JsonLines


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("app.api", logging.ERROR, "file.py", 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


def test_a_record_is_one_line_of_json() -> None:
    line = JsonLines().format(record("%s failed", "digits:1", request_id="abc", seconds=0.5))
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "error", "logger": "app.api", "message": "digits:1 failed", "request_id": "abc", "seconds": 0.5,
    }  # fmt: skip


def test_a_line_cannot_be_forged() -> None:
    line = JsonLines().format(record("no such path: %s", '/x\n{"level":"info"}\r\x1b[2K'))
    assert len(line.splitlines()) == 1
    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line)["message"].startswith("no such path: /x\n")


def test_an_exception_is_in_the_same_line() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    line = JsonLines().format(made)
    assert "\n" not in line
    assert "ValueError: two\nlines" in json.loads(line)["exception"]


def test_every_library_logs_that_way() -> None:
    code = (
        "import logging; from app.telemetry import logs\n"
        "logs.install(); logging.getLogger('uvicorn.error').info('hello')"
    )
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    (line,) = found.stderr.splitlines()
    assert json.loads(line)["message"] == "hello"
