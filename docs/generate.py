"""`python -m docs.generate` writes the pages that follow from the code: settings, errors and metrics.

`--check` writes nothing and exits with 1 when a page is stale.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

import app.main  # noqa: F401 - every module of the service, so that every class of errors is there
from app.errors import service_errors
from app.settings import Settings
from app.telemetry.metrics import Telemetry

FOLDER = Path(__file__).parent
_ROOT = FOLDER.parent
_SIGNS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
_KINDS: dict[Any, str] = {int: "whole number", float: "number", bool: "`true` or `false`", Path: "path"}

_SETTINGS = """\
# Settings

<!-- Written by `python -m docs.generate`. -->

Environment variables, read once at the start. An empty value counts as not set; a wrong one ends the start with the
name of the variable.

"""
_ERRORS = """\
# Errors

<!-- Written by `python -m docs.generate`. -->

Every error is `{"error": {"code", "message", "field"?, "request_id"}}`; [the API](api.md#errors) shows one. Rely on the
code: messages may change. Below `/v2` the body is `{"error": "message"}`, as the Open Inference Protocol has it, and
the status is 400 instead of 422. [Over gRPC](api.md#grpc) the code is in the trailing metadata `error-code`. Where
another try may be worth it, the header `Retry-After` says after how many seconds.

"""
_METRICS = """\
# Metrics

<!-- Written by `python -m docs.generate`. -->

They are at `/metrics`, in Prometheus's text format. Those of a model have the labels `model` and `version`; those of
its answers also have `head`, which is empty for a model with one head. There are
also those of the process, such as `process_resident_memory_bytes`. [Monitor](monitor.md) has a
dashboard and alerts.

"""


def main() -> int:
    """Returns 0, or with --check 1 when a page is stale."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page is stale")
    check = parser.parse_args().check
    stale = [name for name, page in PAGES.items() if _read(FOLDER / name) != page()]
    for name in stale:
        if check:
            print(f"docs/{name} is stale: run python -m docs.generate", file=sys.stderr)
        else:
            (FOLDER / name).write_text(PAGES[name]())
            print(f"written: docs/{name}")
    return 1 if check and stale else 0


def settings() -> str:
    """Every setting with what it takes, its default and its description."""
    prefix = Settings.model_config.get("env_prefix", "")
    rows = (
        (f"`{prefix}{name.upper()}`", _values(field), _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return _SETTINGS + _table(("variable", "value", "default", "meaning"), rows)


def errors() -> str:
    """Every error with its status over HTTP and gRPC, its code, when it happens and a message."""
    kinds = sorted(service_errors(), key=lambda kind: (kind.status, kind.code))
    rows = (
        (str(kind.status), f"`{kind.code}`", f"`{kind.grpc_status}`", kind.summary, f"`{kind.example}`")
        for kind in kinds
    )
    return _ERRORS + _table(("status", "code", "over gRPC", "when", "message, for example"), rows)


def metrics() -> str:
    """Every metric of the service itself with its type and its meaning."""
    text = Telemetry().render().decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    rows = (
        (f"`{name}`", types[name], says)
        for name, says in re.findall(r"^# HELP (masksembles_\S+) (.*)$", text, re.MULTILINE)
        if not name.endswith("_created")
    )
    return _METRICS + _table(("metric", "type", "meaning"), rows)


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings, "errors.md": errors, "metrics.md": metrics}


def _values(field: FieldInfo) -> str:
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not NoneType]
    texts: list[str] = []
    for kind in kinds:
        if get_origin(kind) is Literal:
            texts += [f"`{choice}`" for choice in get_args(kind)]
        else:
            texts.append(_KINDS.get(kind, "text"))
    bounds = [
        f"{sign} {getattr(given, name)}"
        for given in field.metadata
        for kind, (sign, name) in _SIGNS.items()
        if isinstance(given, kind)
    ]
    return " ".join([", ".join(texts), " and ".join(bounds)]).strip()


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value == () or value == {}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Path):
        return f"`{value.relative_to(_ROOT)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
