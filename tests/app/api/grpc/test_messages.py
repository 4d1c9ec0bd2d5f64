import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.api.grpc.messages import COMPILED, METHODS, SERVICE, message


def test_what_is_compiled_is_not_stale(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    proto = COMPILED.with_suffix(".proto")
    made = tmp_path / COMPILED.name
    options = [f"-I{proto.parent}", f"--descriptor_set_out={made}", proto.name]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True)
    assert made.read_bytes() == COMPILED.read_bytes(), "stale: make proto"


def test_the_licence_of_the_protocol_lies_beside_it() -> None:
    assert "NVIDIA" in (COMPILED.parent / "LICENSE").read_text()


def test_names_and_numbers_are_those_of_tritons_client() -> None:
    theirs = pytest.importorskip("tritonclient.grpc.service_pb2")  # in protobuf's common pool, beside ours
    service = theirs.DESCRIPTOR.services_by_name[SERVICE.rpartition(".")[2]]
    seen: set[str] = set()

    def compare(ours: Any, other: Any) -> None:
        if ours.full_name in seen:
            return
        seen.add(ours.full_name)
        for field in ours.fields:
            found = other.fields_by_name[field.name]
            assert (field.number, field.type, field.is_repeated) == (found.number, found.type, found.is_repeated)
            if field.message_type is not None:
                compare(field.message_type, found.message_type)
            if field.enum_type is not None:
                values = {value.name: value.number for value in found.enum_type.values}
                assert {value.name: value.number for value in field.enum_type.values} == values

    for name, method in METHODS.items():
        found = service.methods_by_name[name]
        compare(method.input_type, found.input_type)
        compare(method.output_type, found.output_type)
    assert len(seen) > 30


def test_a_message_is_found_by_its_name() -> None:
    assert message("ModelReadyRequest")(name="digits").name == "digits"
