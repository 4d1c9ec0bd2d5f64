"""The tests marked `gpu`, each file in a process of its own: on a GPU all must run, elsewhere they skip themselves."""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.gpu.check import Setting, run
from tests.serving import ROOT

_SECONDS = 40  # for each file
_MARK = "@pytest.mark.gpu"


def check(setting: Setting) -> None:
    files = sorted(path for path in (ROOT / "tests").rglob("test_*.py") if _MARK in path.read_text())
    setting.figures.expect(bool(files), "no test is marked")
    for path in files:
        with setting.figures.part(path.name):
            _run(setting, path)


def _run(setting: Setting, path: Path) -> None:
    name = str(path.relative_to(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # warnings of other versions than the locked ones are no failures here, and no plugin has a say
        command = [
            sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-o", "filterwarnings=default", "-p", "no:cacheprovider",
            f"--junitxml={report}", name,
        ]  # fmt: skip
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        subprocess.run(command, cwd=ROOT, env=environment, timeout=_SECONDS, check=False)
        found = ET.parse(report).getroot().find("testsuite")
    assert found is not None
    counts = {key: int(found.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    setting.figures.record(name, counts)
    setting.figures.expect(counts["tests"] > 0, f"{name}: no test was found")
    setting.figures.expect(counts["failures"] + counts["errors"] == 0, f"{name}: {counts}")
    wanted = 0 if setting.on_gpu else counts["tests"]
    setting.figures.expect(counts["skipped"] == wanted, f"{name}: {counts['skipped']} skipped, expected {wanted}")


if __name__ == "__main__":
    run(check)
