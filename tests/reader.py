"""Somebody who reads a page from top to bottom and runs each of its blocks, without a network.

What needs no network runs as printed: Python, `curl` against a real service, `python -m models`, `python -m app`. The
rest is held against what it names: a target of the Makefile, services of a compose file, packages, operations of the
OpenAPI document. A block or a command of another kind fails.
"""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import yaml

from app.contract import policy
from models.__main__ import _parser as command_line
from models.__main__ import main as workshop
from tests.app.engine.fakes import until
from tests.kubernetes import pages as cluster
from tests.markdown import ROOT, Block
from tests.pictures import same_to_three_digits
from tests.serving import PATIENCE, as_process

ADDRESS = "http://127.0.0.1:8000"
"""As pages print it."""
GRPC = "127.0.0.1:8001"
"""The same for gRPC."""
DEPLOYED = "/srv/models"
"""A model repository, as pages print it."""

_HOST = ADDRESS.removeprefix("http://")
_ASSIGNED = re.compile(r"[A-Z][A-Z0-9_]*=.*", re.DOTALL)


class Reader:
    """Runs the blocks of one page.

    Args:
        folder: of the page's first command; another one than the root of the repository stands for a clone of it.
        client: of a service with the shipped models.
        names: what Python blocks may use without having defined it.
        grpc: the address of that service for gRPC.
    """

    def __init__(self, folder: Path, client: httpx.Client, names: dict[str, Any], grpc: str = GRPC) -> None:
        self._clone = self._folder = folder
        self._client = client
        self._names = names
        self._grpc = grpc
        self._exported: dict[str, str] = {}
        self._printed = ""
        self._failed = False
        self._stack = ExitStack()

    def close(self) -> None:
        """Ends what the page started."""
        self._stack.close()
        for name in [name for name, module in sys.modules.items() if self._is_page_s(module)]:
            del sys.modules[name]

    def run(self, block: Block) -> None:
        """Runs a block, or holds it against what it names."""
        run = getattr(self, f"_{block.language}", None)
        assert run is not None, f"a block of the kind {block.language!r}"
        if block.language != "json":
            assert not self._failed, f"a command failed: {self._printed}"
        run(block)

    def _python(self, block: Block) -> None:
        kind, _, value = block.info.partition("=")
        text = block.text.replace(_HOST, self._client.base_url.netloc.decode()).replace(GRPC, self._grpc)
        code = compile(text, str(block), "exec")
        if kind == "title":
            (self._folder / value).write_text(block.text)
        elif kind == "client":
            _check_generated_python(block.text)  # tests/clients runs it
        else:
            assert not block.info
            with chdir(self._folder), redirect_stdout(StringIO()) as printed:
                exec(code, self._names)
            self._printed = printed.getvalue()

    def _ts(self, block: Block) -> None:
        assert block.info == "client=typescript"  # tests/clients compiles it
        _check_generated_typescript(block.text)

    def _json(self, block: Block) -> None:
        printed = json.loads(block.text)
        assert self._printed, "an answer without a request before it"
        found = json.loads(self._printed)
        assert self._failed is ("error" in printed), self._printed
        if isinstance(printed.get("error"), dict):
            found["error"]["request_id"] = printed["error"]["request_id"]
        assert same_to_three_digits(found, printed), self._printed
        self._printed, self._failed = "", False

    def _text(self, block: Block) -> None:
        if block.info == "policy":
            assert policy.parse(block.text.strip())
        elif block.info == "policies":
            assert policy.parse_all(block.text.strip())
        else:
            assert block.info == "output"
            assert block.text.splitlines() == self._printed.splitlines()

    def _yaml(self, block: Block) -> None:
        """A configuration of Prometheus for this service, a compose file over ours, or a document for a cluster."""
        document = yaml.safe_load(block.text)
        if "services" in document:
            ours = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
            for name, service in document["services"].items():
                passed = [line.partition("=")[0] for line in ours[name]["environment"]]
                assert {line.partition("=")[0] for line in service["environment"]} <= set(passed)
            return
        if "scrape_configs" not in document:
            cluster.check(document)
            return
        (job,) = document["scrape_configs"]
        assert job["static_configs"] == [{"targets": [_HOST]}]
        assert "masksembles_" in self._client.get(job.get("metrics_path", "/metrics")).raise_for_status().text

    def _mermaid(self, block: Block) -> None:
        assert block.text.startswith("flowchart LR\n")
        assert block.text.count("subgraph") == block.text.count("end\n")

    def _sh(self, block: Block) -> None:
        for words in commands(block.text):
            given = list(words)
            settings = {}
            while given and _ASSIGNED.fullmatch(given[0]):
                name, _, value = given.pop(0).partition("=")
                settings[name] = value
            name = Path(given[0]).name.replace("-", "_")
            run = getattr(self, f"_run_{name}", None)
            assert run is not None, f"a command {given[0]!r}"
            run(given, settings)

    def _run_make(self, words: list[str], settings: dict[str, str]) -> None:
        text = (ROOT / "Makefile").read_text()
        assert self._folder == self._clone
        for word in words[1:]:
            name, equals, _ = word.partition("=")
            known = f"$({name})" in text if equals else re.search(rf"^{re.escape(name)}:", text, re.MULTILINE)
            assert known, f"make {word}"

    def _run_docker(self, words: list[str], settings: dict[str, str]) -> None:
        if words[1] in ("build", "push"):
            assert words[-1] in cluster.IMAGES or (ROOT / words[-1]).is_dir()
            assert all((ROOT / words[at + 1]).is_file() for at, word in enumerate(words) if word == "-f")
            return
        if words[1:3] == ["run", "--rm"]:  # in the image, what would be run here
            assert words[3] in cluster.IMAGES
            self._run_python(words[4:], settings)
            return
        assert words[1] == "compose"
        options = words[2 : words.index("up")]
        assert words[len(options) + 3 :] in ([], ["--scale", "masksembles=4"])
        files = options[1::2] or ["docker-compose.yml"]
        assert options[::2] == ["-f"] * len(options[1::2])
        for file in files:
            assert re.search(r"^services:\n  masksembles:$", (ROOT / file).read_text(), re.MULTILINE)
        if _has_compose():
            command = ["docker", "compose", *options, "config", "--quiet"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr

    def _run_kubectl(self, words: list[str], settings: dict[str, str]) -> None:
        cluster.check_command(words)

    def _run_stack(self, words: list[str], settings: dict[str, str]) -> None:
        """The compose files for a swarm; tests/scale deploys them."""
        assert words == ["docker/stack", "|", "docker", "stack", "deploy", "-c", "-", "masksembles"]
        assert (ROOT / words[0]).exists()

    def _run_curl(self, words: list[str], settings: dict[str, str]) -> None:
        assert any(word.startswith(ADDRESS) for word in words)
        address = str(self._client.base_url).rstrip("/")
        command = [word.replace(ADDRESS, address) for word in words]
        done = subprocess.run(
            [*command, "-sS", "-w", "\n%{http_code}"], cwd=self._data, capture_output=True, text=True, check=True
        )
        self._printed, _, status = done.stdout.rpartition("\n")
        self._failed = int(status) >= 400

    def _run_cd(self, words: list[str], settings: dict[str, str]) -> None:
        self._folder = (self._folder / words[1]).resolve(strict=True)

    def _run_mkdir(self, words: list[str], settings: dict[str, str]) -> None:
        (self._folder / words[1]).mkdir()

    def _run_export(self, words: list[str], settings: dict[str, str]) -> None:
        for word in words[1:]:
            name, equals, value = word.partition("=")
            assert equals
            self._exported[name] = value.replace("$PWD", str(self._folder))

    def _run_python(self, words: list[str], settings: dict[str, str]) -> None:
        if self._folder != self._clone:  # then it must be that of the clone, and find the clone's packages
            assert self._exported["PYTHONPATH"] == str(self._clone)
            assert self._exported["PATH"] == f"{self._clone}/.venv/bin:$PATH"
        match words[1:]:
            case ["-m", "models", *options] if "--feedback" in options:
                command_line().parse_args(options)  # tests/e2e/test_field.py runs it on a database
            case ["-m", "models", *options]:
                self._printed = self._in_process(lambda: workshop(options))
            case ["-m", "app"]:
                self._start(settings)
            case ["-m", "app", *options]:
                environment = {**os.environ, **self._settings(settings)}
                command = [sys.executable, "-m", "app", *options]
                done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
                self._printed = done.stdout
            case ["-m", "pip", "install", package]:
                extra = package.partition("[")[2].rstrip("]")
                assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            case [script]:
                self._printed = self._in_process(lambda: self._names.update(runpy.run_path(script)))
            case other:
                raise AssertionError(f"python {other}")

    def _run_openapi_python_client(self, words: list[str], settings: dict[str, str]) -> None:
        assert "openapi-python-client" in (ROOT / "tests/clients/python/requirements.txt").read_text()
        assert words[1::2] == ["generate", "app/openapi.json", "tests/clients/python/generator.yml"]
        assert words[2::2] == ["--path", "--config"]
        assert all((ROOT / word).exists() for word in words[3::2])

    def _run_npx(self, words: list[str], settings: dict[str, str]) -> None:
        packages = json.loads((ROOT / "tests/clients/typescript/package.json").read_text())
        assert words[1] in packages["devDependencies"]
        assert (ROOT / words[2]).exists()

    @property
    def _data(self) -> Path:
        """Where files lie that a command names: in a clone they are those of this repository."""
        return ROOT if self._folder == self._clone else self._folder

    def _in_process(self, call: Any) -> str:
        """What a call prints that the reader would run as `python …` in the current folder."""
        sys.path.insert(0, str(self._folder))
        try:
            with chdir(self._folder), redirect_stdout(StringIO()) as printed:
                assert not call(), printed.getvalue()
        finally:
            sys.path.remove(str(self._folder))
        return printed.getvalue()

    def _start(self, settings: dict[str, str]) -> None:
        found = self._settings(settings)
        repository = Path(found.pop("MASKSEMBLES_MODEL_REPOSITORY"))
        port = found.pop("MASKSEMBLES_PORT", None)
        started, _ = self._stack.enter_context(as_process(repository, MASKSEMBLES_LOAD="lazy", **found))
        until(lambda: started.get("/health/ready").is_success, PATIENCE)  # several workers are not ready at once
        if port is None:  # or it is not where the page's next commands look
            self._client = started

    def _settings(self, settings: dict[str, str]) -> dict[str, str]:
        """Paths as they are for a process that runs in the root of the repository."""
        name = "MASKSEMBLES_MODEL_REPOSITORY"
        shipped = ROOT / "models" / "repository"
        given = settings.get(name, DEPLOYED)
        return {**settings, name: str(shipped if given == DEPLOYED else self._folder / given)}

    def _is_page_s(self, module: Any) -> bool:
        file = getattr(module, "__file__", None)
        return file is not None and self._clone != ROOT and Path(file).is_relative_to(self._clone.parent)


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell script; a command ends with its line, unless a quote or a \\ goes on."""
    so_far = ""
    for line in text.splitlines():
        so_far += line
        if so_far.endswith("\\"):
            so_far = so_far[:-1]
            continue
        try:
            words = shlex.split(so_far)
        except ValueError:  # a quote is still open
            so_far += "\n"
            continue
        if words:
            yield words
        so_far = ""
    assert not so_far, f"an unfinished command: {so_far}"


def _check_generated_python(text: str) -> None:
    """Whether the OpenAPI document makes a client that has what a block imports."""
    document = json.loads((ROOT / "app" / "openapi.json").read_text())
    operations = {
        (tag, operation["operationId"])
        for path in document["paths"].values()
        for operation in path.values()
        for tag in operation["tags"]
    }
    imported = re.findall(r"^from masksembles_service_client\.api\.(\w+) import (\w+)$", text, re.MULTILINE)
    assert imported
    assert set(imported) <= operations
    (models,) = re.findall(r"^from masksembles_service_client\.models import (.+)$", text, re.MULTILINE)
    assert set(models.split(", ")) <= document["components"]["schemas"].keys()


def _check_generated_typescript(text: str) -> None:
    """Whether a block imports what is locked for the tests, and posts to a path that there is."""
    packages = json.loads((ROOT / "tests/clients/typescript/package.json").read_text())["dependencies"]
    document = json.loads((ROOT / "app" / "openapi.json").read_text())
    for module in re.findall(r'from "([^."][^"]*)"', text):
        assert module in packages
    posted = re.findall(r'client\.POST\("([^"]+)"', text)
    assert posted
    assert all("post" in document["paths"][path] for path in posted)
