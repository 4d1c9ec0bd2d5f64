"""`make soak`: mixed traffic at 80 % of what the service can take, and what became of it.

wrk brings the load, and compares the numbers of every answer. Beside it come clients whose answers are compared with a
bare session's, clients that send nonsense, that send slowly, and that leave; and after each round a new version of the
model, the same again. Between rounds, when nobody is connected, a sample says what the service takes.
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
from typing import Any

import httpx
import numpy as np
import onnxruntime
import orjson

from tests.bench import record
from tests.bench.client import head, post
from tests.bench.load import Load, closed, need_wrk, opened
from tests.bench.series import Series
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
OUTPUTS = ("probabilities", "entropy", "expected_entropy", "mutual_information", "energy")
LIMITS = {"megabytes": 20.0, "descriptors": 8.0, "threads": 2.0}
"""How much each may grow from the end of the warm-up to the last round."""
_ROUNDS = 20  # at least, if there is time, or growth could not be told from chance
_ROUND_SECONDS = 60
_LEAST_ROUND_SECONDS = 10
Client = Callable[[], Awaitable[None]]


class Soak:
    """The clients beside the load, and what they saw."""

    def __init__(self, address: httpx.URL, file: Path) -> None:
        self.seen: Counter[str] = Counter()
        self.compared = 0
        self.wrong: list[str] = []
        self._host, self._port = address.host, address.port or 80
        self._random = random.Random(0)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self._inputs = pictures().inputs[:64]
        found = session.run(list(OUTPUTS), {"input": self._inputs})
        self._expected = dict(zip(OUTPUTS, found))
        self._texts = [
            orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in np.ascontiguousarray(self._inputs)
        ]

    def write_load(self, body: Path, numbers: Path) -> None:
        """Writes the request of the load, the first row, and the numbers of its answer in their order."""
        names = orjson.dumps(OUTPUTS)
        body.write_bytes(b'{"inputs": [' + self._texts[0] + b'], "outputs": ' + names + b"}")
        values = np.concatenate([self._expected[name][0].ravel() for name in OUTPUTS])
        numbers.write_text("".join(f"{value:.9g}\n" for value in values))

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
        self.compared += 1
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
            self.seen[f"{client.__name__} without an answer"] += 1
            self.wrong.append(f"{client.__name__}: {error!r}")

    def note(self, load: Load) -> None:
        """Takes in what the load of a round saw."""
        self.seen.update({f"load {status}": count for status, count in load.statuses.items()})
        self.compared += load.compared
        if load.unexpected or load.failed:
            self.seen["load without an answer"] += load.failed
            self.wrong.append(f"{load.unexpected} samples and {load.failed} requests ended otherwise than in an answer")
        if load.wrong:
            self.wrong.append(f"{load.wrong} answers to the load were wrong, such as {load.example}")


def soak(seconds: float, folder: Path, log: Path) -> dict[str, Any]:
    """The run over a model repository in a folder: its record."""
    shipped = ROOT / "models" / "repository" / "fashion-mnist"
    shipped /= str(max(int(path.name) for path in shipped.iterdir()))
    model = folder / "fashion-mnist"
    shutil.copytree(shipped, model / "1")
    body, numbers = folder.parent / "body.json", folder.parent / "numbers"
    length = max(_LEAST_ROUND_SECONDS, min(_ROUND_SECONDS, int(seconds / _ROUNDS)))
    rounds: list[dict[str, Any]] = []
    with as_process(folder, log=str(log)) as (client, process):
        url = f"{client.base_url}/predict"
        clients = Soak(client.base_url, model / "1" / "model.onnx")
        clients.write_load(body, numbers)
        saturation = statistics.median(closed(url, body, 32, 3).throughput for _ in range(3))
        rate = 0.8 * saturation - (15 * 10.5 + 2 + 10 * 16 * 0.7)  # rows a second of the other clients
        print(f"{saturation:.0f} requests/s at most; load {0.8 * saturation:.0f}/s", flush=True)
        print("round  accepted/s  p50 ms  p99 ms  rejected/s  resident MB  descriptors  threads  wrong", flush=True)
        series = Series(process.pid)
        for number in range(1, max(1, int(seconds / length)) + 1):
            part = asyncio.run(_round(clients, url, rate, length, (body, numbers)))
            clients.note(part)
            time.sleep(1)  # until what the loader left is closed
            sample = series.take()
            shutil.copytree(shipped, model / f".{number}")
            (model / f".{number}").rename(model / str(number + 1))
            row = {name: getattr(part, name) for name in ("throughput", "p50_ms", "p99_ms", "rejected")}
            rounds.append({name: round(value, 2) for name, value in row.items()})
            print(f"{number:5}  {part.throughput:10.0f}  {part.p50_ms:6.1f}  {part.p99_ms:6.1f}  "
                  f"{part.rejected:10.1f}  {sample.megabytes:11.1f}  {sample.descriptors:11}  {sample.threads:7}  "
                  f"{len(clients.wrong):5}", flush=True)  # fmt: skip
        time.sleep(6)  # the last version is found, and what still waits is answered
        waiting = float(client.get("/metrics").text.partition("\nmasksembles_queue_rows ")[2].split()[0])
        answering = client.get("/models/fashion-mnist").json()["version"]
        client.post(
            "/predict", content=body.read_bytes(), headers={"content-type": "application/json"}
        ).raise_for_status()
    if answering != len(rounds) + 1:
        clients.wrong.append(f"version {answering} answers after {len(rounds)} new ones")
    if waiting:
        clients.wrong.append(f"in the end {waiting:.0f} rows wait")
    clients.wrong += series.exceeded(LIMITS)
    return {
        "seconds": length * len(rounds),
        "saturation": round(saturation),
        "versions": answering,
        "answers": dict(sorted(clients.seen.items())),
        "compared": clients.compared,
        "wrong": clients.wrong,
        "log": levels(log),
        "rounds": rounds,
        "series": series.summary(),
    }


def levels(log: Path) -> dict[str, int]:
    """How many lines of a service's log have which level."""
    found: Counter[str] = Counter()
    for line in log.read_bytes().splitlines():
        try:
            found[orjson.loads(line)["level"]] += 1
        except (ValueError, KeyError, TypeError):
            found["other"] += 1
    return dict(found)


async def _round(clients: Soak, url: str, rate: float, seconds: int, files: tuple[Path, Path]) -> Load:
    body, numbers = files
    load = asyncio.ensure_future(asyncio.to_thread(opened, url, body, rate, seconds - 3, numbers))
    await clients.run(seconds - 4)
    return await load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--json", type=Path, help="write the record there, too")
    options = parser.parse_args()
    need_wrk()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(options.seconds, Path(folder) / "repository", Path(folder) / "log")
    if options.json:
        record.write(options.json, f"make soak SECONDS={options.seconds:.0f}", found)
    print(", ".join(f"{name}: {count}" for name, count in found["answers"].items()))
    print(f"{found['compared']} answers compared; log {found['log']}; growth {found['series']['growth']}")
    for line in found["wrong"][:20]:
        print("wrong:", line)
    if found["wrong"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
