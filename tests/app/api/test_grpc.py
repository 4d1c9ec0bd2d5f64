"""The Open Inference Protocol over gRPC, through the whole service: what HTTP promises holds here, too."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from app.api.grpc.messages import METHODS, SERVICE
from app.auth.guard import Guard
from app.auth.keys import make_key, parse_keys
from app.engine.session import Session
from app.errors import service_errors
from tests.app.api.grpc.calling import Callee, Failure, arrays, calling, request
from tests.app.api.v2.protocol import binary_tensor, post, read
from tests.app.engine.fakes import until
from tests.serving import open_models

REFLECT = "ServerReflectionInfo"
ROWS = np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6)


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Callee]:
    with calling(folder, default_model="tiny", max_body_bytes=200_000, max_rows=500) as callee:
        yield callee


@pytest.fixture(scope="module")
def slow(tiny_repository: Path) -> Iterator[Callee]:
    """A service to reach into; its queue holds one row."""
    models = open_models(tiny_repository)
    models.registry.find("tiny", None).inline_max_rows = 0
    with calling(tiny_repository, models=models, max_queue_rows=1, queue_timeout_ms=20_000) as callee:
        yield callee


@pytest.fixture
def held(slow: Callee, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds every run until the event is set."""
    free = threading.Event()
    real = Session.run

    def run(self: Session, *arguments: Any) -> Any:
        free.wait(20)
        return real(self, *arguments)

    monkeypatch.setattr(Session, "run", run)
    yield free
    free.set()


def infer(callee: Callee, message: Any, **options: Any) -> Any:
    return callee.send("ModelInfer", message.SerializeToString(), **options)


def outcomes(callee: Callee, outcome: str) -> float:
    lines = callee.http.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1])
        for line in lines
        if line.startswith("masksembles_requests_total") and f'"{outcome}"' in line
    )


def test_the_same_bits_as_over_rest(service: Callee) -> None:
    found = arrays(infer(service, request("tiny", ROWS, id="7")))
    described, blob = binary_tensor("input", ROWS)
    _, expected = read(
        post(service.http, "tiny", {"inputs": [described], "parameters": {"binary_data_output": True}}, blob)
    )
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes(), name


def test_values_one_by_one_are_the_same_as_bytes(service: Callee) -> None:
    message = request("tiny", ROWS, model_version="1", id="7")
    answer = infer(service, message)
    assert (answer.model_name, answer.model_version, answer.id) == ("tiny", "1", "7")
    del message.raw_input_contents[:]
    message.inputs[0].contents.fp32_contents.extend(ROWS.ravel().tolist())
    assert infer(service, message) == answer


def test_outputs_by_name_and_as_classes(service: Callee) -> None:
    message = request("tiny", ROWS)
    message.outputs.add(name="entropy")
    message.outputs.add(name="probabilities").parameters["classification"].int64_param = 2
    answer = infer(service, message)
    assert [(output.name, output.datatype, list(output.shape)) for output in answer.outputs] == [
        ("entropy", "FP32", [3]), ("probabilities", "BYTES", [3, 2]),
    ]  # fmt: skip
    assert answer.raw_output_contents[1].count(b":") == 12


def test_health_and_metadata(service: Callee) -> None:
    assert service.rpc("ServerLive").live
    assert service.rpc("ServerReady").ready
    assert service.rpc("ServerMetadata").name == "masksembles"
    assert service.rpc("ModelReady", name="tiny").ready
    assert service.rpc("ModelReady", name="tiny", version="1").ready
    assert not service.rpc("ModelReady", name="tiny", version="2").ready  # rejected
    metadata = service.rpc("ModelMetadata", name="tiny")
    over_rest = service.http.get("/v2/models/tiny").json()
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [("input", "FP32", [-1, 6])]
    assert [output.name for output in metadata.outputs] == [output["name"] for output in over_rest["outputs"]]
    config = service.rpc("ModelConfig", name="tiny").config
    assert (config.max_batch_size, config.input[0].data_type, list(config.input[0].dims)) == (500, 11, [6])
    states = {(entry.name, entry.version): entry.state for entry in service.rpc("RepositoryIndex").models}
    assert states == {
        ("bytes", "1"): "READY",
        ("digits", "1"): "READY",
        ("tiny", "1"): "READY",
        ("tiny", "2"): "UNAVAILABLE",
    }
    assert len(service.rpc("RepositoryIndex", ready=True).models) == 3


def test_statistics_count_both_transports(service: Callee) -> None:
    before = service.rpc("ModelStatistics", name="tiny").model_stats[0].inference_count
    infer(service, request("tiny", ROWS))
    described, blob = binary_tensor("input", ROWS)
    post(service.http, "tiny", {"inputs": [described]}, blob)
    assert service.rpc("ModelStatistics", name="tiny").model_stats[0].inference_count == before + 6
    assert {stats.name for stats in service.rpc("ModelStatistics").model_stats} == {"bytes", "digits", "tiny"}


NAN = ROWS.copy()
NAN[1, 2] = np.nan
MANY = np.zeros((501, 6), np.float32)
BRIGHT = np.full((1, 1, 8, 8), 2, np.float32)


@pytest.mark.parametrize(
    ("message", "status", "code", "says"),
    [
        (request("cats", ROWS), "NOT_FOUND", "unknown_model", "model: no model 'cats' is served; there are: "),
        (request("tiny", ROWS, model_version="9"), "NOT_FOUND", "unknown_version", "version: version 9 of 'tiny'"),
        (request("tiny", ROWS, model_version="x"), "INVALID_ARGUMENT", "invalid_input", "model_version: 'x' is not"),
        (request("", ROWS), "INVALID_ARGUMENT", "invalid_input", "model_name: '' is not a model name"),
        (request("tiny", ROWS[:, :5]), "INVALID_ARGUMENT", "invalid_input", "inputs[0].shape: expected the shape"),
        (request("tiny", NAN.astype(np.float64)), "INVALID_ARGUMENT", "invalid_input", "inputs[0].datatype: expected"),
        (request("tiny", ROWS, name="x"), "INVALID_ARGUMENT", "invalid_input", "inputs[0].name: unknown input 'x'"),
        (request("tiny", NAN), "INVALID_ARGUMENT", "invalid_input", "inputs[0].data[1][2]: "),
        (request("tiny", MANY), "INVALID_ARGUMENT", "invalid_input", "inputs[0].shape: expected 1 to 500 rows"),
        (request("digits", BRIGHT), "INVALID_ARGUMENT", "invalid_input", "inputs[0].data[0][0][0][0]: "),
    ],
)  # fmt: skip
def test_bad_input_is_named(service: Callee, message: Any, status: str, code: str, says: str) -> None:
    before = outcomes(service, code)
    failure = infer(service, message)
    assert (failure.status, failure.metadata["error-code"]) == (status, code)
    assert failure.message.startswith(says)
    assert outcomes(service, code) == before + 1


def test_every_error_has_a_status_of_grpc() -> None:
    for kind in service_errors():
        assert kind.grpc_status in grpc.StatusCode.__members__


def test_what_is_no_message_is_refused(service: Callee) -> None:
    failure = service.send("ModelInfer", b"\xff" * 9)
    assert (failure.status, failure.metadata["error-code"]) == ("INVALID_ARGUMENT", "malformed_body")
    assert service.send("ModelReady", b"\xff" * 9).status == "INVALID_ARGUMENT"
    assert service.send("ModelReady", b"\x0a\xf0\xa2\x04" + b"a" * 70_000).status == "INVALID_ARGUMENT"


def test_a_message_over_the_limit_is_refused(service: Callee) -> None:
    failure = infer(service, request("tiny", np.zeros((10_000, 6), np.float32)))
    assert failure.status == "RESOURCE_EXHAUSTED"
    assert "larger than max" in failure.message
    bomb = b"\0" * 50_000_000
    assert service.send("ModelInfer", bomb, compression=grpc.Compression.Gzip).status == "RESOURCE_EXHAUSTED"
    until(lambda: service.app.services.memory.held == 0)


def test_a_call_without_a_message_is_refused(service: Callee) -> None:
    call = service.channel.stream_unary(f"/{SERVICE}/ModelInfer")
    with pytest.raises(grpc.RpcError, match="expected a message"):
        call(iter([]))


def test_compressed_messages_are_read(service: Callee) -> None:
    answer = infer(service, request("tiny", ROWS), compression=grpc.Compression.Gzip)
    assert arrays(answer)["entropy"].shape == (3,)


def test_bytes_of_any_kind_are_answered_or_refused(service: Callee) -> None:
    random = np.random.default_rng(0)
    seen = set()
    for size in random.integers(0, 100, 150):
        message = request("tiny", ROWS[:1])
        message.raw_input_contents[0] = random.bytes(24 if size % 2 else int(size))
        found = infer(service, message)
        seen.add(found.status if isinstance(found, Failure) else "OK")
    assert seen <= {"OK", "INVALID_ARGUMENT"}
    assert "INVALID_ARGUMENT" in seen
    assert isinstance(infer(service, request("tiny", ROWS)), Failure) is False


def test_ids_and_traces_go_with_the_answer(service: Callee) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    failure = infer(service, request("cats", ROWS), metadata={"x-request-id": "mine", "traceparent": trace})
    assert failure.metadata["x-request-id"] == "mine"
    assert failure.metadata["traceparent"].split("-")[1] == trace.split("-")[1]
    call = service.channel.unary_unary(f"/{SERVICE}/ModelInfer")
    _, done = call.with_call(request("tiny", ROWS).SerializeToString())
    assert {key for key, _ in done.trailing_metadata()} == {"x-request-id", "traceparent"}


def test_streams_are_refused_with_a_sentence(service: Callee) -> None:
    call = service.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
    with pytest.raises(grpc.RpcError) as raised:
        next(call(iter([b""])))
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "ModelInfer" in raised.value.details()
    with pytest.raises(grpc.RpcError) as raised:
        service.channel.unary_unary(f"/{SERVICE}/TraceSetting")(b"")
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_full_queue_refuses_before_the_message(slow: Callee, held: threading.Event) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(infer, slow, request("tiny", ROWS[:1]))
        until(lambda: slow.app.services.memory.held > 0 and slow.app.services.batcher._queue.rows == 0)
        time.sleep(0.1)
        second = pool.submit(infer, slow, request("tiny", ROWS[:1]))
        until(lambda: slow.app.services.batcher._queue.rows == 1)
        failure = infer(slow, request("tiny", ROWS[:1]))
        assert (failure.status, failure.metadata["error-code"]) == ("UNAVAILABLE", "queue_full")
        assert int(failure.metadata["grpc-retry-pushback-ms"]) == 1000 * int(failure.metadata["retry-after"]) > 0
        held.set()
        assert not isinstance(first.result(), Failure)
        assert not isinstance(second.result(), Failure)


@pytest.mark.parametrize("how", ["deadline", "cancel", "parameter"])
def test_rows_of_a_call_that_ends_early_are_dropped(slow: Callee, held: threading.Event, how: str) -> None:
    queue = slow.app.services.batcher._queue
    outcome = {"deadline": "deadline_exceeded", "cancel": "client_gone", "parameter": "deadline_exceeded"}[how]
    before = outcomes(slow, outcome)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(infer, slow, request("tiny", ROWS[:1]))
        until(lambda: slow.app.services.memory.held > 0 and queue.rows == 0)
        time.sleep(0.1)
        message = request("tiny", ROWS[:1])
        if how == "parameter":
            message.parameters["timeout"].int64_param = 2_000_000
        call = slow.channel.unary_unary(f"/{SERVICE}/ModelInfer").future(
            message.SerializeToString(), timeout=2 if how == "deadline" else 30
        )
        until(lambda: queue.rows == 1)
        if how == "cancel":
            call.cancel()
        else:
            assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: queue.rows == 0)
        until(lambda: outcomes(slow, outcome) == before + 1)
        held.set()
        assert not isinstance(first.result(), Failure)
    until(lambda: slow.app.services.memory.held == 0)


def test_memory_that_does_not_fit_is_refused(tiny_repository: Path) -> None:
    with calling(tiny_repository, memory_budget_mb=1) as callee:
        with callee.app.services.memory.hold() as other:
            other.resize(2**20)
            failure = infer(callee, request("tiny", np.zeros((1000, 6), np.float32)))
            assert (failure.status, failure.metadata["error-code"]) == ("UNAVAILABLE", "memory_full")
        assert not isinstance(infer(callee, request("tiny", ROWS)), Failure)
        assert callee.app.services.memory.held == 0


def test_a_late_message_counts_as_the_largest_until_it_is_there(service: Callee) -> None:
    memory = service.app.services.memory
    until(lambda: memory.held == 0)
    free = threading.Event()

    def late() -> Iterator[bytes]:
        free.wait(20)
        yield request("tiny", ROWS).SerializeToString()

    call = service.channel.stream_unary(f"/{SERVICE}/ModelInfer")
    answer = call.future(late())
    until(lambda: memory.held == 200_000)
    free.set()
    assert answer.result(20)
    until(lambda: memory.held == 0)
    free.clear()
    before = outcomes(service, "client_gone")
    gone = call.future(late())
    until(lambda: memory.held == 200_000)
    gone.cancel()
    until(lambda: memory.held == 0)
    until(lambda: outcomes(service, "client_gone") == before + 1)
    free.set()


def test_keys_scopes_and_rates(tiny_repository: Path) -> None:
    lines, keys = [], {}
    for name, scopes in (("caller", "predict"), ("chief", "predict+admin"), ("watcher", "metrics")):
        keys[name], line = make_key(name, scopes)
        lines.append(line)
    guard = Guard(parse_keys("\n".join(lines)), rate=5)
    with calling(tiny_repository, guard=guard, enable_admin=True) as callee:
        message = request("tiny", ROWS)
        assert infer(callee, message).status == "UNAUTHENTICATED"
        assert infer(callee, message, metadata={"x-api-key": "guess"}).status == "UNAUTHENTICATED"
        assert infer(callee, message, metadata={"x-api-key": keys["watcher"]}).status == "PERMISSION_DENIED"
        assert not isinstance(infer(callee, message, metadata={"authorization": f"Bearer {keys['caller']}"}), Failure)
        assert (
            callee.rpc("RepositoryModelUnload", {"x-api-key": keys["caller"]}, model_name="tiny").status
            == "PERMISSION_DENIED"
        )
        assert not isinstance(
            callee.rpc("RepositoryModelUnload", {"x-api-key": keys["chief"]}, model_name="tiny"), Failure
        )
        assert not isinstance(
            callee.rpc("RepositoryModelLoad", {"x-api-key": keys["chief"]}, model_name="tiny"), Failure
        )
        for name in METHODS:
            if name not in ("ServerLive", "ServerReady", "ModelStreamInfer"):
                assert callee.rpc(name).status == "UNAUTHENTICATED", name
        assert callee.rpc("ServerReady").ready
        found = [infer(callee, message, metadata={"x-api-key": keys["caller"]}) for _ in range(20)]
        refused = [failure for failure in found if isinstance(failure, Failure)]
        assert {(failure.status, failure.metadata["error-code"]) for failure in refused} == {
            ("RESOURCE_EXHAUSTED", "rate_limited")
        }


def test_models_are_loaded_only_where_that_is_on(service: Callee) -> None:
    failure = service.rpc("RepositoryModelLoad", model_name="tiny")
    assert (failure.status, failure.metadata["error-code"]) == ("PERMISSION_DENIED", "admin_disabled")


def test_grpcs_own_health_and_reflection(tiny_repository: Path) -> None:
    with calling(tiny_repository) as callee:
        known = ProtoReflectionDescriptorDatabase(callee.channel)
        assert set(known.get_services()) == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        assert "ModelInfer" in {m.name for m in known.FindFileContainingSymbol(SERVICE).service[0].method}
        assert known.FindFileContainingSymbol("grpc.health.v1.Health").package == "grpc.health.v1"
        health = health_pb2_grpc.HealthStub(callee.channel)
        asked = health_pb2.HealthCheckRequest
        assert health.Check(asked()).status == health_pb2.HealthCheckResponse.SERVING
        assert health.Check(asked(service=SERVICE)).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as raised:
            health.Check(asked(service="x"))
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND
        seen = health.Watch(asked())
        assert next(seen).status == health_pb2.HealthCheckResponse.SERVING
        callee.app.services.stopping = True
        assert [answer.status for answer in seen] == [health_pb2.HealthCheckResponse.NOT_SERVING]
        assert not callee.rpc("ServerReady").ready
        assert not callee.rpc("ModelReady", name="tiny").ready


def test_calls_without_a_key_leave_room_for_others(tiny_repository: Path) -> None:
    with calling(tiny_repository, most=2) as callee:
        health = health_pb2_grpc.HealthStub(callee.channel)
        watching = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(64)]
        assert {next(seen).status for seen in watching} == {health_pb2.HealthCheckResponse.SERVING}
        with pytest.raises(grpc.RpcError) as raised:
            next(health.Watch(health_pb2.HealthCheckRequest()))
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        done = threading.Event()
        silent = [
            callee.channel.stream_stream(name)(iter(done.wait, True))  # sends nothing until then
            for name in (
                f"/{SERVICE}/ServerLive",
                "/grpc.health.v1.Health/Check",
                f"/{reflection.SERVICE_NAME}/{REFLECT}",
            )
            for _ in range(22)
        ]
        until(lambda: isinstance(callee.rpc("ServerLive"), Failure))
        assert callee.rpc("ServerLive").metadata["error-code"] == "connections_full"
        assert arrays(infer(callee, request("tiny", ROWS)))["entropy"].shape == (3,)
        for call in (*watching, *silent):
            call.cancel()
        until(lambda: not isinstance(callee.rpc("ServerLive"), Failure))
        done.set()


def test_connections_are_bounded(tiny_repository: Path) -> None:
    with calling(tiny_repository, most=3) as callee:
        assert callee.rpc("ServerLive").live
        port = int(callee.target.rpartition(":")[2])
        opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(6)]
        for one in opened:
            one.settimeout(0.5)
        assert sum(_is_closed(one) for one in opened) >= 3
        assert callee.rpc("ServerLive").live
        for one in opened:
            one.close()


def _is_closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(1024):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True
