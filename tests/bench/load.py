"""The load generator, a compiled one, so that it doesn't eat what it measures: wrk, and samples beside it."""

import asyncio
import json
import random
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.client import post

HERE = Path(__file__).parent
CONNECTIONS = 512
"""Of the open loop: more than rows may wait, so that it is not the loader that holds back; fewer at low rates, where
servers would close connections for being idle."""


@dataclass(frozen=True)
class Load:
    """What a loader saw; throughput in good answers a second, times in milliseconds."""

    throughput: float
    p50_ms: float
    p99_ms: float
    errors: int
    """Answers other than 200, and none."""
    offered: float = 0.0
    rejected: float = 0.0
    """Answers a second other than 200."""
    rejected_p50_ms: float = 0.0
    unexpected: int = 0
    """In a sample, answers other than 200, 503 and 504."""
    failed: int = 0
    """Requests that got no answer."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Answers by status, if their numbers were compared."""
    compared: int = 0
    wrong: int = 0
    """Of those compared."""
    example: str = ""
    """The last of those that were wrong."""


def need_wrk() -> None:
    """Ends with a message where it is missing."""
    if shutil.which("wrk") is None:
        raise SystemExit("error: wrk is not installed (Debian: apt install wrk)")


def closed(url: str, body: Path, clients: int, seconds: int, headers: Sequence[str] = ()) -> Load:
    """So many connections, each of which sends its next request when it has the answer to the last one.

    Args:
        body: a file, JSON unless headers (`Name: value`) say otherwise.
    """
    with _wrk("post.lua", url, clients, seconds, str(body), *headers) as process:
        found = json.loads(process.communicate()[1])
    good = found["requests"] - found["errors"]
    return Load(good / found["seconds"], found["p50_ms"], found["p99_ms"], found["errors"])


def mixed(url: str, folder: Path, requests: tuple[int, str], clients: int, seconds: int) -> Load:
    """The same with many bodies.

    Args:
        folder: holds them as files, numbered from 1.
        requests: how many there are, and their content type.
    """
    count, kind = requests
    with _wrk("mixed.lua", url, clients, seconds, str(folder), str(count), kind) as process:
        found = json.loads(process.communicate()[1])
    good = found["requests"] - found["errors"]
    return Load(good / found["seconds"], found["p50_ms"], found["p99_ms"], found["errors"])


def opened(url: str, body: Path, rate: float, seconds: int, numbers: Path | None = None) -> Load:
    """Requests at an even rate, whatever becomes of those before; times are those of a sample.

    Args:
        numbers: a file with the numbers of the predictions, one a line, with which those of each answer are compared.
    """
    beside = min(50.0, rate / 20)
    connections = min(CONNECTIONS, int(3 * rate))
    script, more = ("open.lua", []) if numbers is None else ("checked.lua", [str(numbers)])
    with _wrk(script, url, connections, seconds, str(body), str(rate - beside), *more) as process:
        sample = asyncio.run(_sample(url, body.read_bytes(), beside, seconds - 1))
        found, *checked = map(json.loads, process.communicate()[1].splitlines())
    good = sorted(took for took, status in sample if status == 200)
    refused = sorted(took for took, status in sample if status in (503, 504))
    aside = len(sample) / (seconds - 1)
    rejected = found["errors"] / found["seconds"] + aside * (1 - len(good) / max(1, len(sample)))
    offered = found["requests"] / found["seconds"] + aside
    return Load(
        throughput=offered - rejected,
        p50_ms=_percentile(good, 0.5),
        p99_ms=_percentile(good, 0.99),
        errors=found["errors"] + len(sample) - len(good),
        offered=offered,
        rejected=rejected,
        rejected_p50_ms=_percentile(refused, 0.5),
        unexpected=len(sample) - len(good) - len(refused),
        failed=found["failed"],
        **(checked[0] if checked else {}),
    )


def _wrk(script: str, url: str, clients: int, seconds: int, *arguments: str) -> subprocess.Popen[str]:
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}", "--timeout", "30", "-s", script, url, "--", *arguments]
    return subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


async def _sample(url: str, body: bytes, rate: float, seconds: int) -> list[tuple[float, int]]:
    """Seconds and status of some requests a second, each sent when its time has come; 0 for no answer."""
    found: list[tuple[float, int]] = []
    parts = urlsplit(url)

    async def one() -> None:
        began = time.perf_counter()
        try:
            status, _ = await post(parts.hostname or "", parts.port or 80, body)
        except (OSError, TimeoutError, IndexError, ValueError):
            status = 0
        found.append((time.perf_counter() - began, status))

    tasks = []
    for _ in range(int(rate * seconds)):
        tasks.append(asyncio.ensure_future(one()))
        await asyncio.sleep(random.expovariate(rate))
    await asyncio.gather(*tasks)
    return found


def _percentile(ordered: list[float], share: float) -> float:
    return 1000 * ordered[int(share * (len(ordered) - 1))] if ordered else 0.0
