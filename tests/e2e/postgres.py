"""A server of PostgreSQL for a test, where Debian's package and the driver psycopg are installed; otherwise the test is
skipped."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE = 30.0


class Postgres:
    """A server with a folder of its own, reached through a socket in it."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self.url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
        self._run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "postgres").communicate()
        self.start()

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        options = ("-D", str(self._folder / "data"), "-k", str(self._folder), "-c", "listen_addresses=")
        self._process = self._run("postgres", *options)
        until = time.monotonic() + _PATIENCE
        while self._run("pg_isready", "-h", str(self._folder)).wait():
            assert time.monotonic() < until
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it at once, whatever its clients do."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(_PATIENCE)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        # it refuses to run as root
        user = "postgres" if os.getuid() == 0 else None
        command = [str(self._programs / program), *arguments]
        return subprocess.Popen(command, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running one."""
    pytest.importorskip("psycopg")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("there is no PostgreSQL")
    folder = Path(tempfile.mkdtemp())  # pytest's own is closed to other users
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    server = Postgres(found[-1].parent, folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
