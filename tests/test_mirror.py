"""Every module that does something has a test of its own, at the place that mirrors it.

That is `tests/<its path>/test_<module>.py`, or, for all modules of a folder together, `test_<folder>.py` where the test
of a module beside the folder would be.
"""

import ast
from pathlib import Path

import pytest

from tests.serving import ROOT

ELSEWHERE = {
    "app/__main__.py": "tests/e2e/test_serve.py",  # nothing but the command, run as users run it
    "app/service.py": "tests/e2e/test_serve.py",  # what the command starts
    "app/api/services.py": "tests/app/api/test_inference.py",  # two attributes, without which nothing is answered
    "app/api/predict/maps.py": "tests/app/api/predict/test_dense.py",  # of answers, each of which is tried in all forms
    "app/api/predict/openapi.py": "tests/app/api/test_openapi.py",  # parts of a document, which is read as a whole
    "app/api/v2/openapi.py": "tests/app/api/test_openapi.py",
    "models/__main__.py": "tests/e2e/test_line.py",
    "models/export/held.py": "tests/models/export/test_compact.py",  # of graphs, each of which is held against the loop
    "models/cli/": "tests/models/cli/test_commands.py",  # commands, each run as a whole
}
"""What has no test at its place, and where it is tested."""


def does_something(source: str) -> bool:
    """Whether a module has a public function, or a public class with a method that is not only declared."""
    public = [node for node in ast.parse(source).body if not getattr(node, "name", "_").startswith("_")]
    parts = [part for node in public for part in (node.body if isinstance(node, ast.ClassDef) else [node])]
    return any(_has_steps(part) for part in parts)


def _has_steps(node: ast.stmt) -> bool:
    """Whether it is a function of more than a docstring or `...`."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return any(not (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)) for step in node.body)


def has_test(module: Path) -> bool:
    folder = Path("tests") / module.parent
    together = folder.parent / f"test_{folder.name}.py"
    own = together if module.name == "__init__.py" else folder / f"test_{module.stem}.py"
    return any((ROOT / path).exists() for path in (own, together))


def is_listed(module: Path, listed: set[str]) -> bool:
    return any(str(module) == entry or (entry.endswith("/") and str(module).startswith(entry)) for entry in listed)


MODULES = sorted(path.relative_to(ROOT) for room in ("app", "models") for path in (ROOT / room).rglob("*.py"))
WITHOUT = [module for module in MODULES if does_something((ROOT / module).read_text()) and not has_test(module)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class A:\n    x: int = 1", False),
        ("class A:\n    def f(self): ...", False),
        ('class A:\n    async def f(self):\n        """Says."""', False),
        ("def _f():\n    return 1", False),
        ("class _A:\n    def f(self):\n        return 1", False),
        ("def f():\n    return 1", True),
        ("async def f():\n    pass", True),
        ("class A:\n    def _f(self):\n        return 1", True),
    ],
)
def test_fields_and_declarations_do_nothing(source: str, expected: bool) -> None:
    assert does_something(source) is expected


def test_every_module_has_a_test_at_its_place() -> None:
    assert len(MODULES) > 100
    assert [str(module) for module in WITHOUT if not is_listed(module, set(ELSEWHERE))] == []


@pytest.mark.parametrize("entry", sorted(ELSEWHERE))
def test_no_entry_is_stale(entry: str) -> None:
    assert [module for module in WITHOUT if is_listed(module, {entry})]


@pytest.mark.parametrize("path", sorted(set(ELSEWHERE.values())))
def test_what_tests_them_elsewhere_is_there(path: str) -> None:
    assert (ROOT / path).exists()
