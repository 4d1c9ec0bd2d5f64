"""Who may call the program, as an operator says it, and that nobody who calls can write into its log."""

import fcntl
import io
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image

from app.__main__ import main
from app.auth import keys
from app.errors import InsufficientScope, Unauthorized
from app.failures import StartError
from app.service import guard_of
from app.settings import Settings
from tests.serving import ROOT, as_process

NAMES = ("MASKSEMBLES_KEYS", "MASKSEMBLES_KEYS_FILE", "MASKSEMBLES_ALLOW_ANONYMOUS")


def start(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A start that cannot become a service: it has no repository."""
    environment = {**os.environ, "MASKSEMBLES_MODEL_REPOSITORY": str(ROOT / "nowhere"), **settings}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With one of the shipped models, which takes pictures."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "models" / "repository" / "digits" / "3", folder / "digits" / "3")
    return folder


def test_without_keys_it_does_not_listen_where_others_can_connect() -> None:
    found = start(MASKSEMBLES_HOST="0.0.0.0")
    assert (found.returncode, found.stdout) == (1, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("error: MASKSEMBLES_HOST=0.0.0.0: ")
    for name in NAMES:
        assert name in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "2001:db8::1", "", "*", "service.example", "127.1"])
def test_only_addresses_that_are_this_machine_alone_need_no_keys(host: str) -> None:
    assert Settings(host=host).reached_by_others
    with pytest.raises(StartError, match="MASKSEMBLES_KEYS"):
        guard_of(Settings(host=host))
    guard_of(Settings(host=host, allow_anonymous=True)).admit("/predict", [])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_on_this_machine_alone_everybody_is_let_in(host: str) -> None:
    assert not Settings(host=host).reached_by_others
    guard_of(Settings(host=host)).admit("/predict", [])


def test_with_keys_it_listens_anywhere_and_lets_in_who_has_one(tmp_path: Path) -> None:
    (first, first_line), (second, second_line) = keys.make_key("ci", "predict"), keys.make_key("ops", "admin")
    (tmp_path / "keys").write_text(second_line)
    for settings in (
        Settings(host="0.0.0.0", keys=keys.parse_keys(first_line)),
        Settings(host="0.0.0.0", keys=keys.parse_keys(first_line), keys_file=tmp_path / "keys", allow_anonymous=True),
    ):
        guard = guard_of(settings)
        guard.admit("/predict", [(b"x-api-key", first.encode())])
        with pytest.raises(Unauthorized):
            guard.admit("/predict", [])
    guard.admit("/models/x/load", [(b"x-api-key", second.encode())])
    with pytest.raises(InsufficientScope):
        guard.admit("/predict", [(b"x-api-key", second.encode())])


@pytest.mark.parametrize("content", [None, b"", b"# none\n", b"ci:predict:" + b"ab" * 31, b"\xff\xfe"])
def test_a_keys_file_that_is_none_ends_the_start_with_one_line(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartError) as refused:
        guard_of(Settings(keys_file=file))
    message = str(refused.value)
    assert message.startswith("MASKSEMBLES_KEYS_FILE: ")
    assert len(message.splitlines()) == 1
    assert "abab" not in message


def test_wrong_keys_end_the_start_with_one_line_that_tells_no_digest(tmp_path: Path) -> None:
    digest = "ab" * 32
    file = tmp_path / "keys"
    file.write_text(f"ci:predict:{digest}\nops:root:{digest}\n")
    for name, value in (("MASKSEMBLES_KEYS_FILE", str(file)), ("MASKSEMBLES_KEYS", f"ci:predict:{digest}x")):
        found = start(**{name: value})
        assert (found.returncode, found.stdout) == (1, "")
        (line,) = found.stderr.splitlines()
        assert line.startswith(f"error: {name}: ")
        assert digest not in line


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The same program in this process, for what ends before anything is set up."""
    monkeypatch.setattr(sys, "argv", ["app", *arguments])
    return main()


def test_the_document_is_printed_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--openapi") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["openapi"].startswith("3.")
    assert {"/predict", "/v2/models/{name}/infer"} <= document["paths"].keys()
    assert printed.err == ""


def test_a_new_key_works_for_the_line_that_is_printed(repository: Path, tmp_path: Path) -> None:
    printed = start("--new-key", "ci")
    assert (printed.returncode, printed.stderr) == (0, "")
    key, line = (text.rpartition(" ")[2] for text in printed.stdout.splitlines())
    other, other_line = keys.make_key("ops", "admin+metrics")
    third, third_line = keys.make_key("third", "predict")
    file = tmp_path / "keys"
    file.write_text(other_line)
    request = json.loads((ROOT / "app" / "api" / "examples" / "request.json").read_text())
    with as_process(repository, MASKSEMBLES_KEYS=line, MASKSEMBLES_KEYS_FILE=str(file)) as (client, _):

        def predict(key: str) -> int:
            return client.post("/predict", json=request, headers={"authorization": f"Bearer {key}"}).status_code

        assert client.post("/predict", json=request).status_code == 401
        assert [predict(each) for each in (key, other, third, line)] == [200, 403, 401, 401]
        assert client.get("/metrics", headers={"x-api-key": other}).status_code == 200
        assert client.get("/health/ready").status_code == 200
        file.write_text(f"{other_line}\n{third_line}\n")
        time.sleep(1.1)
        assert [predict(each) for each in (key, other, third)] == [200, 403, 200]


def test_a_new_key_may_do_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--new-key", "ops", "--scopes", "admin+metrics") == 0
    key, line = (text.rpartition(" ")[2] for text in capsys.readouterr().out.splitlines())
    (found,) = keys.parse_keys(line)
    assert (found.name, found.scopes, found.digest) == ("ops", {"admin", "metrics"}, keys.sha256(key.encode()))


@pytest.mark.parametrize("arguments", [("ci", "--scopes", "root"), ("#ci",), ("c i",), ("",)])
def test_a_new_key_with_a_wrong_name_or_scope_is_refused(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--new-key", *arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: key 1: ")
    assert not re.search("[0-9a-f]{64}|mske_", line)


FORGED = '{"level": "info", "message": "forged"}'
BREAKS = ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
SMUGGLED = [*(f"x{end}{FORGED}{end}" for end in BREAKS), "\x1b[2J\x1b]0;x\a", '", "level": "info', "\\", "\0", "\u202e"]


def send(client: httpx.Client, request: bytes) -> bytes:
    """What comes back for bytes that no HTTP client would send."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(2**16), b""))


def raw(path: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b""])


def logged(client: httpx.Client, process: subprocess.Popen[str]) -> list[str]:
    """Everything that it wrote until it ended."""
    client.close()
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    return process.stderr.read().splitlines()


def are_records(lines: list[str]) -> list[dict[str, object]]:
    records = []
    for line in lines:
        assert line.isprintable(), line
        record = json.loads(line)
        assert list(record)[:4] == ["time", "level", "logger", "message"], line
        assert record.keys() <= {
            "time", "level", "logger", "message", "request_id", "trace_id", "model", "version", "status", "code",
            "seconds", "exception",
        }  # fmt: skip
        records.append(record)
    return records


@pytest.fixture
def running(repository: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    with as_process(repository, MASKSEMBLES_ACCESS_LOG="true", MASKSEMBLES_ENABLE_ADMIN="true") as started:
        _, process = started
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 2**20)  # nobody reads it until the end
        yield started


def test_nobody_can_write_a_line_into_the_log(running: tuple[httpx.Client, subprocess.Popen[str]]) -> None:
    client, process = running
    statuses: list[int] = []
    npy = {"content-type": "application/x-npy"}
    for text in SMUGGLED:
        encoded = quote(text, safe="")
        for path in (
            f"/{encoded}",
            f"/models/{encoded}",
            f"/models/digits/versions/{encoded}",
            f"/v2/models/{encoded}",
        ):
            statuses.append(client.get(path).status_code)
        for path in (f"/models/{encoded}/load", f"/v2/models/{encoded}/infer", f"/v2/repository/models/{encoded}/load"):
            statuses.append(client.post(path, json={"id": text}).status_code)
        query = {"model": text, "id": text, "outputs": text}
        statuses += [
            client.post("/predict", json={"model": text, "id": text, "inputs": [[text]]}).status_code,
            client.post("/predict", json={"id": text, "inputs": [[0]], "outputs": [text]}).status_code,
            client.post("/predict", content=text.encode(), headers=npy, params=query).status_code,
            client.post("/predict", files={text: (text, b"x", "image/png")}, data={"model": text}).status_code,
            client.get("/health/live", headers={"x-request-id": encoded, "user-agent": encoded}).status_code,
        ]
    assert set(statuses) <= {200, 404, 405, 415, 422, 400}
    for text in SMUGGLED:
        smuggled = text.encode().replace(b"\r", b"").replace(b"\n", b"")
        send(client, raw(b"/health/live", b"X-Request-ID: " + smuggled, b"User-Agent: " + smuggled))
        send(client, raw(b"/" + smuggled))
        send(client, raw(b"/health/live", b"Host: " + smuggled, method=b"GET" + smuggled))
        send(client, smuggled)
    send(client, raw(b"/%ED%A0%80%FF%FE%C0%80"))
    records = are_records(logged(client, process))
    accessed = [record for record in records if record["logger"] == "app.access"]
    assert len(accessed) >= len(statuses)
    assert not any(record["message"] == "forged" for record in records)
    for record in accessed:
        assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", str(record["request_id"]))


def with_broken_exif() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05garbage")
    return stream.getvalue()


def of_python_2() -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 1L, 8L, 8L), }\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(256)


def test_what_a_library_warns_of_is_a_line_of_json_too(running: tuple[httpx.Client, subprocess.Popen[str]]) -> None:
    client, process = running
    for kind, content in (("image/jpeg", with_broken_exif()), ("application/x-npy", of_python_2())):
        response = client.post("/predict", content=content, headers={"content-type": kind})
        assert response.status_code in (200, 422), response.text
    are_records(logged(client, process))
