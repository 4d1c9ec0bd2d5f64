import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_service_imports_no_torch_and_no_onnx() -> None:
    code = "import app.service, app.__main__, sys; print([m for m in ('torch', 'models', 'onnx') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
