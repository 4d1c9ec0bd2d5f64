"""Paths in a model repository that lead to anything but a model file."""

import os
import socket
from pathlib import Path

from app.contract.repository import MODEL_FILE
from tests import artefacts, graphs
from tests.hostile.file import GIVEN
from tests.hostile.names import EVIL


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def put_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def put_noise(path: Path) -> None:
    path.symlink_to("/dev/urandom")


def put_folder(path: Path) -> None:
    path.mkdir()


def put_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def put_loop(path: Path) -> None:
    path.symlink_to(path.name)


def put_loop_of_two(path: Path) -> None:
    path.symlink_to(f"{path.name}.2")
    path.with_name(f"{path.name}.2").symlink_to(path.name)


def put_terabytes(path: Path) -> None:
    """A sparse file, as large as the file system lets it be."""
    with path.open("wb") as file:
        for size in (2**43, 2**42, 2**41, 2**40, 2**32):
            try:
                file.truncate(size)
            except OSError:
                continue
            return


PLACES = {
    "pipe": (put_pipe, "not a regular file"),
    "socket": (put_socket, "not a regular file"),
    "zeros": (put_zeros, "not a regular file"),
    "noise": (put_noise, "not a regular file"),
    "folder": (put_folder, "not a regular file"),
    "dangling": (put_dangling, "cannot be read: No such file or directory"),
    "loop": (put_loop, "cannot be read: Too many levels of symbolic links"),
    "loop-of-two": (put_loop_of_two, "cannot be read: Too many levels of symbolic links"),
    "terabytes": (put_terabytes, "an ONNX file has at most 2147483647"),
}
"""What may lie where a file should, how to put it there, and what the reason for its rejection says."""


def put_models(repository: Path) -> dict[str, str]:
    """Models whose file, or whose version, is none; what the reason of each says."""
    said = {}
    for name, (put, reason) in PLACES.items():
        folder = repository / f"file-{name}" / "1"
        folder.mkdir(parents=True)
        put(folder / MODEL_FILE)
        said[f"file-{name}"] = reason
    for name in ("dangling", "loop", "loop-of-two"):
        put, reason = PLACES[name]
        (repository / f"version-{name}").mkdir()
        put(repository / f"version-{name}" / "1")
        said[f"version-{name}"] = reason
    return said


def put_plans(repository: Path) -> dict[str, str]:
    """Honest models with a plan for the CPU that is none; what the remark about each says."""
    said = {}
    for name, (put, reason) in PLACES.items():
        path = artefacts.write(repository, f"plan-{name}", *graphs.classifier(GIVEN, "abc", submodels=3))
        put(path.with_name("model.cpu.onnx"))
        said[f"plan-{name}"] = reason
    return said


def put_unreadable(repository: Path) -> dict[str, str]:
    """Links that a model's folder may be behind, and never is."""
    put_dangling(repository / "model-dangling")
    put_loop(repository / "model-loop")
    return {
        "model-dangling": "No such file or directory",
        "model-loop": "Too many levels of symbolic links",
    }


def put_strangers(repository: Path, count: int) -> None:
    """What is no model or no version, and is passed over: odd names, and things that are no folders."""
    put_pipe(repository / "pipe")
    put_socket(repository / "socket")
    put_zeros(repository / "device")
    (repository / "a-file").write_text("no folder")
    versions = repository / "strange-versions"
    for folder in (repository, versions):
        for name in (EVIL.replace("/", "").replace("\0", ""), "new\nline", "x" * 255, "-", "..1", "1\n", "٣"):
            (folder / name / "1").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (versions / f"0{number}").mkdir()
        (repository / f"_{number}").mkdir()
