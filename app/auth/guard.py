"""Decides who may do what, and how often: finds a request's key and compares its scopes with what the path needs."""

import hmac
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path

from app.auth.buckets import Buckets, OwnBuckets
from app.auth.keys import Key, Scope, read_keys, sha256
from app.errors import InsufficientScope, RateLimited, Unauthorized

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0
_OPEN = frozenset(
    {"/", "/docs", "/openapi.json", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
)
_OPEN_FOLDERS = ("/page/", "/docs/")  # the files that the pages load
_ADMIN = re.compile(r"(/v2/repository)?/models/[^/]+/(un)?load")
_PORT = re.compile(r":\d*$")
_EXPECTED = "expected an API key, as Authorization: Bearer … or X-API-Key: …"


def needed(path: str) -> Scope | None:
    """The scope that a path needs; None if it is open to everybody."""
    path = path.removesuffix("\n")  # a route's pattern ends with $, which matches before it: `load\n` needs admin, too
    if path == "/predict":
        return "predict"
    if path in _OPEN or path.startswith(_OPEN_FOLDERS):
        return None
    if path == "/metrics":
        return "metrics"
    return "admin" if _ADMIN.fullmatch(path) else "predict"  # unknown paths too: a new route is never open by accident


class Guard:
    """Lets requests in, or says why not.

    Without any key everybody is let in. The start makes sure that only this machine reaches such a service, or that the
    operator allows otherwise.

    Args:
        keys: keys that are let in.
        file: a file with more keys; read again when it changes, so that keys can be rotated.
        rate: most requests a second for each key, or for all requests without one; None for no limit.
        buckets: those of all workers, where there are several.

    Raises:
        OSError, ValueError: the file cannot be read or parsed.
    """

    def __init__(
        self,
        keys: tuple[Key, ...] = (),
        file: Path | None = None,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        buckets: Buckets | None = None,
    ) -> None:
        self._set = keys
        self._file = file
        self._rate = rate
        self._clock = clock
        self._buckets = buckets or OwnBuckets()
        self._open = not keys and file is None and rate is None
        self._looked = clock()
        self._stamp = _stamp(file)  # before the keys: a change in between is seen at the next look
        self._keys = self._all()

    def admit(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Admits a request, or raises.

        Raises:
            Unauthorized: it carries no key, or an unknown one.
            InsufficientScope: its key lacks the scope that the path needs.
            RateLimited: its key has exceeded the rate.
        """
        if self._open and path == "/predict":
            return
        scope = needed(path)
        if scope is None:
            return
        name = ""
        if self._file is not None:
            self._look()
        if self._keys:
            key = self._find(dict(headers))
            if scope not in key.scopes:
                raise InsufficientScope(f"the key {key.name!r} does not have the scope {scope}")
            name = key.name
        elif scope == "admin":
            _check_host(dict(headers).get(b"host", b""))
        if self._rate is not None:  # last: guessed keys must not use up anybody's rate
            self._count(name, self._rate)

    def _find(self, headers: Mapping[bytes, bytes]) -> Key:
        given = headers.get(b"x-api-key")
        if given is None:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer":
                raise Unauthorized(_EXPECTED)
        digest = sha256(given.strip())
        found: Key | None = None
        for key in self._keys:  # no break: the time must not reveal which key matches
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            raise Unauthorized("the API key is not known here")
        return found

    def _look(self) -> None:
        """Reads the file again if it changed, at most once a second; a bad file changes nothing."""
        now = self._clock()
        if self._file is None or now - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp  # also of a bad file, which is reported once
        try:
            self._keys = self._all()
        except (OSError, ValueError) as error:
            _log.error("MASKSEMBLES_KEYS_FILE: %s; the keys that were known stay", error)
        else:
            _log.info("%d keys are known now", len(self._keys))

    def _all(self) -> tuple[Key, ...]:
        if self._file is None:
            return self._set
        keys = (*self._set, *read_keys(self._file))
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("a name of MASKSEMBLES_KEYS is there again")
        return keys

    def _count(self, name: str, rate: float) -> None:
        wait = self._buckets.take(name, rate, self._clock())
        if wait > 0:
            raise RateLimited(f"more than {rate:g} requests a second (MASKSEMBLES_RATE_LIMIT)", max(1, math.ceil(wait)))


def _check_host(host: bytes) -> None:
    """Guards a service without keys: another site's name could lead a browser here (DNS rebinding).

    Raises:
        InsufficientScope: the header Host is not a name or address of this machine itself.
    """
    name = _PORT.sub("", host.decode("latin-1")).strip("[]")
    try:
        known = ip_address(name).is_loopback
    except ValueError:
        known = name.lower() == "localhost"
    if not known:
        raise InsufficientScope(
            "without API keys, models are loaded and unloaded only by requests to localhost or 127.0.0.1"
        )


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    try:
        status = file.stat() if file is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)
