"""The most memory of the card that was in use, as nvidia-smi sees it several times a second."""

import shutil
import subprocess
import threading
from types import TracebackType
from typing import Self

_TO_END = 5.0  # seconds


class CardMemory:
    """Watches the first card while the context lasts; where there is no nvidia-smi it knows nothing."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._most: int | None = None

    def __enter__(self) -> Self:
        if (program := shutil.which("nvidia-smi")) is not None:
            command = [program, "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "250"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
            self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._reader.join(_TO_END)  # one that hangs in the driver is left behind

    def begin(self) -> None:
        """Forgets what was before."""
        self._most = None

    @property
    def most(self) -> int | None:
        """The most since then, in MiB; None if it is not known."""
        return self._most

    def _read(self, process: "subprocess.Popen[str]") -> None:
        with process:  # waits for its end
            for line in process.stdout or ():
                if line.strip().isdecimal():
                    self._most = max(self._most or 0, int(line))
