"""`make soak`: ten minutes of mixed traffic at 80 % of what the service can take, and what became of it.

wrk brings the load. Beside it come clients whose answers are compared with a bare session's, clients that send
nonsense, that send slowly, and that leave; and every minute a new version of the model, the same again.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import orjson

from tests.bench.client import head, post
from tests.bench.load import Load, closed, need_wrk, opened
from tests.bench.peak import memory
from tests.pictures import pictures
from tests.serving import ROOT, as_process

BAD = (
    b"",
    b"{",
    b'{"inputs": []}',
    b'{"inputs": [[[[0.5]]]]}',
    b'{"inputs": [[[[NaN]]]]}',
    b'{"inputs": "x"}',
    b'{"model": "dogs", "inputs": [[1]]}',
)
_MEGABYTES = 20.0
Client = Callable[[], Awaitable[None]]


class Soak:
    """The clients beside the load, and what they saw."""

    def __init__(self, address: httpx.URL, file: Path) -> None:
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._host, self._port = address.host, address.port or 80
        self._random = random.Random(0)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        names = ["probabilities", "entropy", "mutual_information"]
        self._inputs = pictures().inputs[:64]
        found = session.run(names, {"input": self._inputs})
        self._expected = dict(zip(names, found))
        self._texts = [
            orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in np.ascontiguousarray(self._inputs)
        ]

    async def good(self) -> None:
        """1 to 20 rows, whose answers are compared."""
        at = [self._random.randrange(len(self._texts)) for _ in range(self._random.randint(1, 20))]
        body = b'{"model": "fashion-mnist", "inputs": [' + b",".join(self._texts[row] for row in at) + b"]}"
        status, answer = await self._post(body)
        self.seen[f"good {status}"] += 1
        if status in (503, 504):
            return
        if status != 200:
            self.wrong.append(f"good rows got {status} {answer[:200]!r}")
            return
        for row, prediction in zip(at, orjson.loads(answer)["predictions"], strict=True):
            for name, values in self._expected.items():
                if not np.allclose(prediction[name], values[row], atol=1e-5):
                    self.wrong.append(f"{name}: {prediction[name]} instead of {values[row]}")

    async def bad(self) -> None:
        """Nonsense, which is an error of the client's and nothing else."""
        status, answer = await self._post(self._random.choice(BAD))
        self.seen[f"bad {status}"] += 1
        if status not in (404, 422, 503):
            self.wrong.append(f"nonsense got {status} {answer[:200]!r}")

    async def slow(self) -> None:
        """A good row, a piece every so often."""
        body = b'{"model": "fashion-mnist", "inputs": [' + self._texts[0] + b"]}"
        status, _ = await self._post(body, pause=0.2)
        self.seen[f"slow {status}"] += 1
        if status not in (200, 503, 504):
            self.wrong.append(f"slow rows got {status}")

    async def vanishing(self) -> None:
        """Good rows, and gone before the answer; or in the middle of sending."""
        body = b'{"model": "fashion-mnist", "inputs": [' + b",".join(self._texts[:16]) + b"]}"
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(head(len(body)) + (body if self._random.random() < 0.7 else body[: len(body) // 2]))
        await writer.drain()
        await asyncio.sleep(self._random.random() * 0.05)
        writer.transport.abort()
        self.seen["vanishing"] += 1
        del reader

    async def _post(self, body: bytes, pause: float = 0.0) -> tuple[int, bytes]:
        return await post(self._host, self._port, body, pause)

    async def run(self, seconds: float) -> None:
        """All of them at their rates, for so long."""
        end = time.monotonic() + seconds
        tasks: set[asyncio.Task[None]] = set()

        async def stream(client: Client, rate: float) -> None:
            while time.monotonic() < end:
                task = asyncio.ensure_future(self._noted(client))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                await asyncio.sleep(self._random.expovariate(rate))

        await asyncio.gather(
            stream(self.good, 15), stream(self.bad, 15), stream(self.slow, 2), stream(self.vanishing, 10)
        )
        await asyncio.gather(*tasks)

    async def _noted(self, client: Client) -> None:
        try:
            await client()
        except (OSError, TimeoutError, IndexError, ValueError) as error:
            self.wrong.append(f"{client.__name__}: {error!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    need_wrk()
    shipped = ROOT / "models" / "repository" / "fashion-mnist"
    version = max(int(path.name) for path in shipped.iterdir())
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        shutil.copytree(shipped / str(version), store / "fashion-mnist" / "1")
        body = Path(folder) / "body.json"
        rows = np.ascontiguousarray(pictures().inputs[:1])
        body.write_bytes(orjson.dumps({"inputs": rows}, option=orjson.OPT_SERIALIZE_NUMPY))
        with as_process(store) as (client, process):
            url = f"{client.base_url}/predict"
            saturation = statistics.median(closed(url, body, 32, 3).throughput for _ in range(3))
            soak = Soak(client.base_url, store / "fashion-mnist" / "1" / "model.onnx")
            beside = 15 * 10.5 + 2 + 10 * 16 * 0.7  # rows a second of the other clients
            print(f"{saturation:.0f} requests/s at most; load {0.8 * saturation:.0f}/s", flush=True)
            print("minute  accepted/s  p50 ms  p99 ms  rejected/s  resident MB  wrong", flush=True)
            resident = []
            for minute in range(1, max(1, round(options.minutes)) + 1):
                part = asyncio.run(_minute(soak, url, body, 0.8 * saturation - beside))
                if part.unexpected or part.failed:
                    soak.wrong.append(
                        f"{part.unexpected} samples and {part.failed} requests ended otherwise than in an answer"
                    )
                resident.append(memory("VmRSS", process.pid))
                print(f"{minute:6}  {part.throughput:10.0f}  {part.p50_ms:6.1f}  {part.p99_ms:6.1f}  "
                      f"{part.rejected:10.1f}  {resident[-1]:11.1f}  {len(soak.wrong):5}", flush=True)  # fmt: skip
                shutil.copytree(shipped / str(version), store / "fashion-mnist" / f".{minute}")
                (store / "fashion-mnist" / f".{minute}").rename(store / "fashion-mnist" / str(minute + 1))
            time.sleep(6)  # the last version is found, and what still waits is answered
            waiting = client.get("/metrics").text.partition("\nmasksembles_queue_rows ")[2].split()[0]
            answering = client.get("/models/fashion-mnist").json()["version"]
            client.post("/predict", json={"inputs": rows.tolist()}).raise_for_status()
    grown = resident[-1] - resident[len(resident) // 2]
    if grown > _MEGABYTES:
        soak.wrong.append(f"memory grew by {grown:.0f} MB in the later half")
    if answering != len(resident) + 1:
        soak.wrong.append(f"version {answering} answers after {len(resident)} new ones")
    print(", ".join(f"{name}: {count}" for name, count in sorted(soak.seen.items())))
    print(f"in the end {waiting} rows wait, version {answering} answers")
    for line in soak.wrong[:20]:
        print("wrong:", line)
    if soak.wrong or float(waiting) != 0:
        sys.exit(1)


async def _minute(soak: Soak, url: str, body: Path, rate: float) -> Load:
    load = asyncio.ensure_future(asyncio.to_thread(opened, url, body, rate, 58))
    await soak.run(57)
    return await load


if __name__ == "__main__":
    main()
