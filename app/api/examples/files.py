"""Files that people can download from /docs and send back: examples of bodies that the OpenAPI document cannot hold."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "web" / "examples"
FILES = {
    "coat.png": "image/png",
    "coat.jpg": "image/jpeg",
    "coat.webp": "image/webp",
    "scene.png": "image/png",
    "digit.npy": "application/x-npy",
    "digit.npz": "application/x-npz",
    "digit.bin": "application/octet-stream",
    "digit-with-json.bin": "application/octet-stream",
}
"""Media types by name."""


def link(name: str) -> str:
    """The address of a file, relative to the OpenAPI document and to the page."""
    return f"docs/examples/{name}"


def example(name: str, summary: str) -> dict[str, Any]:
    """An Example Object that leads to a file; not by `externalValue`, which Swagger UI 5.35 did not show."""
    return {"summary": summary, "description": f"[{name}]({link(name)})"}
