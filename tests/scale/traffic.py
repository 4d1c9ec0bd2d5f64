"""Clients that ask through the proxy meanwhile: half of them try again as docs/clients.md shows, half never do."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np

from tests.markdown import ROOT, blocks

CLIENTS = 4
"""Of either kind."""
SECONDS = 60.0
"""For an answer. The service's own deadline is sooner."""
_PAUSE = 0.02  # between requests of a client: bounded load, so that replicas are not at their limit
Post = Callable[[httpx.Client], Any]


class Traffic:
    """What became of requests so far."""

    def __init__(self) -> None:
        self.with_retry: Counter[str] = Counter()
        """`ok`, or what `predict` of docs/clients.md raised in the end."""
        self.without: Counter[str] = Counter()
        """Statuses, or the name of the exception."""
        self.versions: Counter[int] = Counter()
        """Answers by the version that they name."""

    @property
    def failed(self) -> int:
        """Requests that a client which never tries again has lost."""
        return self.without.total() - self.without["200"]

    def __str__(self) -> str:
        tried = dict(self.with_retry)
        return f"with retry {tried}; without {dict(self.without)}; versions {dict(sorted(self.versions.items()))}"


@contextmanager
def traffic(port: int, request: dict[str, Any] | None = None) -> Iterator[Traffic]:
    """Clients of a port, from the first answer of each until the end; fails if there are not many answers."""
    request = request or {"model": "digits", "inputs": np.full((4, 1, 8, 8), 0.5).tolist(), "outputs": ["entropy"]}
    found, done, lock = Traffic(), threading.Event(), threading.Lock()
    predict = documented()

    def run(post: Post, outcomes: Counter[str]) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
            while not done.is_set():
                answer = post(client)
                with lock:
                    outcomes[answer if isinstance(answer, str) else "ok"] += 1
                    if not isinstance(answer, str):
                        found.versions[answer["model"]["version"]] += 1
                time.sleep(_PAUSE)

    def patient(client: httpx.Client) -> Any:
        try:
            return predict(client, request)
        except httpx.HTTPError as error:
            return repr(error)

    def once(client: httpx.Client) -> str:
        try:
            return str(client.post("/predict", json=request).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__

    kinds: list[tuple[Post, Counter[str]]] = [(patient, found.with_retry), (once, found.without)]
    threads = [threading.Thread(target=run, args=kind) for kind in kinds for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert found.with_retry["ok"] > 50
    assert found.without["200"] > 50


def documented() -> Callable[[httpx.Client, dict[str, Any]], Any]:
    """`predict` as docs/clients.md has it."""
    (block,) = (block for block in blocks(ROOT / "docs" / "clients.md", "python") if "Retry-After" in block.text)
    place: dict[str, Any] = {"rows": []}
    exec(compile(block.text, str(block), "exec"), place)
    predict: Callable[[httpx.Client, dict[str, Any]], Any] = place["predict"]
    return predict
