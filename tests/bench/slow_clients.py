"""`make soak-connections`: a client beside a thousand silent connections and three hundred that send a byte at a time.

The client sends at an even rate, and must not notice. It measures alone and beside the others by turns; they are a
process of their own, which opens a connection again half a second after it was closed.
"""

import argparse
import asyncio
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import record
from tests.bench.peak import memory
from tests.pictures import REQUEST
from tests.serving import ROOT, SHIPPED, as_process

_TURNS = 3
_PAUSE_SECONDS = 0.5
_HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@dataclass
class Seen:
    """What the client saw in its turns of one kind."""

    milliseconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    open: int = 0
    megabytes: float = 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


async def ask(port: int, rate: float, seconds: float, seen: Seen) -> None:
    """Requests on one connection at an even rate; each is timed from when it was due, or it would hide its waiting."""
    body = REQUEST.read_bytes()
    request = _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    for at in range(round(rate * seconds)):
        due = began + at / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        except (OSError, EOFError) as error:
            seen.wrong.append(repr(error))
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        seen.milliseconds.append(1000 * (time.perf_counter() - due))
        if not head.startswith(b"HTTP/1.1 200 "):
            seen.wrong.append(head.split(b"\r\n")[0].decode())
    writer.close()


async def trouble(port: int, silent: int, dripping: int) -> None:
    """Opens so many connections, again and again; every other one that drips has sent a head, and drips a body."""

    os.nice(10)  # it stands for other machines, which would not take the processor from the client

    async def hold(begin: bytes) -> None:
        await asyncio.sleep(random.random())
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(begin)
                if begin:
                    drips = asyncio.ensure_future(_drip(writer))
                await reader.read()
                if begin:
                    drips.cancel()
                writer.close()
            except OSError:
                pass
            await asyncio.sleep(_PAUSE_SECONDS)

    begins = (_HEAD + b"X: ", _HEAD + b"Content-Length: 60000\r\n\r\n")
    await asyncio.gather(*(hold(b"") for _ in range(silent)), *(hold(begins[at % 2]) for at in range(dripping)))


async def _drip(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        await asyncio.sleep(_PAUSE_SECONDS)
        writer.write(b" ")


@contextmanager
def troubled(port: int, silent: int, dripping: int) -> Iterator[None]:
    """Has a process of its own make trouble."""
    command = [sys.executable, "-m", "tests.bench.slow_clients", "--trouble", str(port)]
    numbers = ["--silent", str(silent), "--dripping", str(dripping)]
    with subprocess.Popen([*command, *numbers], cwd=ROOT) as process:
        time.sleep(3)  # until all have connected
        try:
            yield
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long, alone and beside the others together")
    parser.add_argument("--rate", type=float, default=100, help="requests a second of the client")
    parser.add_argument("--silent", type=int, default=1000)
    parser.add_argument("--dripping", type=int, default=300)
    parser.add_argument("--most", type=int, help="MASKSEMBLES_MAX_CONNECTIONS of the service")
    parser.add_argument("--json", type=Path, help="write the record there, too")
    parser.add_argument("--trouble", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trouble is not None:
        asyncio.run(trouble(options.trouble, options.silent, options.dripping))
        return
    alone, beside = Seen(), Seen()
    settings = SHIPPED | ({"MASKSEMBLES_MAX_CONNECTIONS": str(options.most)} if options.most else {})
    with as_process(ROOT / "models" / "repository", **settings) as (client, process):
        port = client.base_url.port or 0
        asyncio.run(ask(port, options.rate, 2, Seen()))  # the first requests load the model
        for _ in range(_TURNS):
            asyncio.run(ask(port, options.rate, options.seconds / _TURNS / 2, alone))
            with troubled(port, options.silent, options.dripping):
                asyncio.run(ask(port, options.rate, options.seconds / _TURNS / 2, beside))
                beside.open = max(beside.open, len(list(Path(f"/proc/{process.pid}/fd").iterdir())))
                beside.megabytes = max(beside.megabytes, memory("VmRSS", process.pid))
            time.sleep(1)
    for name, seen in (("alone", alone), ("beside", beside)):
        print(f"{name:7} {len(seen.milliseconds):6} answers  p50 {seen.percentile(0.5):6.2f} ms  "
              f"p99 {seen.percentile(0.99):6.2f} ms  {len(seen.wrong)} wrong {seen.wrong[:3]}")  # fmt: skip
    print(f"at most {beside.open} descriptors and {beside.megabytes:.0f} MB")
    if options.json:
        found = {
            name: {
                "answers": len(seen.milliseconds),
                "p50_ms": round(seen.percentile(0.5), 2),
                "p99_ms": round(seen.percentile(0.99), 2),
            }
            for name, seen in (("alone", alone), ("beside", beside))
        }
        most = {"descriptors": beside.open, "megabytes": round(beside.megabytes)}
        about = {"seconds": round(options.seconds), **found, "most": most, "wrong": alone.wrong + beside.wrong}
        record.write(options.json, f"make soak-connections SECONDS={options.seconds:.0f}", about)
    if alone.wrong or beside.wrong or beside.percentile(0.99) > 2 * alone.percentile(0.99):
        sys.exit(1)


if __name__ == "__main__":
    main()
