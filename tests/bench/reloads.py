"""`make soak-reloads`: 64 clients ask three models whose versions are published, recalibrated and removed 50 times.

The clients mix models, formats, numbers of rows and outputs. Each answer names its version, and each of its numbers is
compared with what onnxruntime computed for that version beforehand. No request may fail.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from app.contract.repository import list_versions
from tests.bench import record, versions
from tests.bench.series import Series
from tests.bench.soak import levels
from tests.serving import PATIENCE, ROOT, as_process

CLIENTS = 64
LIMITS = {"megabytes": 40.0, "descriptors": 8.0, "threads": 2.0}
"""How much each may grow from the end of the warm-up to the last reload, under load: requests come and go."""
_PROCESSES = 4
_KEPT = 3  # versions of a model that stay in the repository
_SETTINGS = {
    "MASKSEMBLES_ENABLE_ADMIN": "true",
    "MASKSEMBLES_POLL_SECONDS": "0.5",
    "MASKSEMBLES_MAX_QUEUE_ROWS": "1000000",  # a full queue is no failure, but would hide one
    "MASKSEMBLES_QUEUE_TIMEOUT_MS": "60000",
}


class Publisher:
    """Changes which version of a model answers, one way after the other, and waits until it does."""

    def __init__(self, made: Path, repository: Path) -> None:
        self.done: Counter[str] = Counter()
        self.answered: list[str] = []
        self._made = made
        self._repository = repository
        self._newest = dict.fromkeys(versions.NAMES, 0)

    def publish(self, name: str) -> int:
        """Puts the next version of a model into the repository: its number."""
        self._newest[name] += 1
        version = self._newest[name]
        source = self._made / name / str(versions.variant(version) + 1)
        folder = self._repository / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, folder / f".{version}")
        (folder / f".{version}").rename(folder / str(version))
        return version

    def change(self, client: httpx.Client, number: int) -> None:
        """The change of that number: every fifth takes the newest version away, the others bring one."""
        name = versions.NAMES[number % len(versions.NAMES)]
        there = list_versions(self._repository, name)
        if number % 5 == 4 and len(there) > 1:
            shutil.rmtree(self._repository / name / str(there[-1]))
            version, what = there[-2], "removed"
        else:
            version = self.publish(name)
            what = "recalibrated" if versions.variant(version) == 1 else "published"
            for old in there[: -_KEPT + 1]:
                shutil.rmtree(self._repository / name / str(old))
        if number % 2:  # else it is found by itself
            client.post(f"/models/{name}/load").raise_for_status()
        _wait(client, name, version)
        self.done[what] += 1
        self.answered.append(f"{name}:{version}")


def _wait(client: httpx.Client, name: str, version: int) -> None:
    until = time.monotonic() + PATIENCE
    while (found := client.get(f"/models/{name}").raise_for_status().json().get("version")) != version:
        if time.monotonic() > until:
            raise TimeoutError(f"{name}:{found} answers, expected {version}")
        time.sleep(0.1)


class Clients:
    """The clients, in processes of their own."""

    def __init__(self, port: int, folder: Path, count: int) -> None:
        each = [count // _PROCESSES + (at < count % _PROCESSES) for at in range(_PROCESSES)]
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.bench.asking", str(port), str(folder), str(clients), str(1000 * at)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for at, clients in enumerate(each)
            if clients
        ]

    def stop(self) -> dict[str, Any]:
        """Waits for their last answers; what became of all of them."""
        reports = [json.loads(process.communicate()[0]) for process in self._processes]
        return {
            "answers": dict(sorted(sum((Counter(report["answers"]) for report in reports), Counter()).items())),
            "versions": dict(sum((Counter(report["versions"]) for report in reports), Counter())),
            "numbers": sum(report["numbers"] for report in reports),
            "wrong": [line for report in reports for line in report["wrong"]],
            "slowest": round(max(report["slowest"] for report in reports), 3),
        }

    def kill(self) -> None:
        """Ends them, whatever they do."""
        for process in self._processes:
            process.kill()


def run(folder: Path, reloads: int, clients: int, pause: float) -> dict[str, Any]:
    """So many reloads under so many clients, with a pause after each: the record."""
    versions.prepare(folder)
    repository, log = folder / "repository", folder / "log"
    publisher = Publisher(folder / "variants", repository)
    for name in versions.NAMES:
        publisher.publish(name)
    with as_process(repository, log=str(log), **_SETTINGS) as (client, process):
        asking = Clients(client.base_url.port or 0, folder, clients)
        series = Series(process.pid)
        try:
            for number in range(reloads):
                publisher.change(client, number)
                time.sleep(pause)
                sample = series.take()
                print(f"{number + 1:4} {publisher.answered[-1]:20} {sample.megabytes:7.1f} MB  "
                      f"{sample.descriptors:4} descriptors  {sample.threads:3} threads", flush=True)  # fmt: skip
            found = asking.stop()
        finally:
            asking.kill()
    unseen = set(publisher.answered) - found["versions"].keys()
    wrong: list[str] = found["wrong"]
    wrong += [f"{name} answered nobody" for name in sorted(unseen)]
    wrong += series.exceeded(LIMITS)
    return {
        "seconds": round(series.samples[-1].seconds),
        "clients": clients,
        "reloads": dict(publisher.done),
        **found,
        "wrong": wrong,
        "log": levels(log),
        "series": series.summary(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds after each")
    parser.add_argument("--json", type=Path, help="write the record there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options.reloads, options.clients, options.pause)
    if options.json:
        record.write(options.json, f"make soak-reloads RELOADS={options.reloads}", found)
    print(", ".join(f"{name}: {count}" for name, count in found["answers"].items()))
    print(f"{found['numbers']} numbers compared; reloads {found['reloads']}; log {found['log']}; "
          f"growth {found['series']['growth']}; slowest {found['slowest']} s")  # fmt: skip
    for line in found["wrong"][:20]:
        print("wrong:", line)
    if found["wrong"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
