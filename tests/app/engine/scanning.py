"""A version as the service finds it in a repository."""

from pathlib import Path

from app.engine.repository import RepositoryScanner
from app.engine.scanned_version import ScannedVersion


def scan(folder: Path, device: str, name: str) -> ScannedVersion:
    """The only version of a model, verified."""
    scanner = RepositoryScanner(folder, device)
    scanner.verify(scanner.scan()[name])
    (version,) = scanner.versions(name)
    return version
