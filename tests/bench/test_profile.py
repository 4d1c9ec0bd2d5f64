import pytest

from tests.bench.profile import PHASES, REST, phase_of, shares

MAIN = "main (/a/app/__main__.py:9);run (/lib/asyncio/runners.py:118)"
LOOP = f"{MAIN};RequestResponseCycle.run_asgi (/lib/httptools_impl.py:4)"
DEVICE = "Thread._bootstrap (/lib/threading.py:1);Batcher._work (/a/app/engine/batcher.py:5)"


@pytest.mark.parametrize(
    ("stack", "phase"),
    [
        (MAIN, "event loop"),
        (LOOP, "ASGI and the path of a request"),
        (
            f"{LOOP};read_all (/a/app/api/json_arrays.py:7);_amin (/lib/numpy/_core/_methods.py:45)",
            "JSON or tensors in",
        ),
        (
            f"{LOOP};RequestResponseCycle.send (/lib/httptools_impl.py:5);f (/lib/x.py:1)",
            "write",
        ),
        (f"{LOOP};HttpProtocol.on_message_complete (/a/app/http_protocol.py:1)", "read and parse HTTP"),
        (f"{DEVICE};Session.run (/a/app/engine/session.py:1);Session.run (/lib/onnxruntime/x.py:395)", "run"),
        (f"{DEVICE};Queue.take (/a/app/engine/queue.py:3)", "queue and hand-over"),
        (f"{DEVICE};Queue.take (/a/app/engine/queue.py:3);Condition.wait (/lib/threading.py:327)", None),
        ("main (/a/b.py:1)", REST),
    ],
)
def test_a_sample_counts_for_what_its_innermost_known_function_does(stack: str, phase: str | None) -> None:
    assert phase_of(stack) == phase


def test_shares_add_up_without_the_threads_that_wait() -> None:
    wait = f"{DEVICE};Queue.take (/a/app/engine/queue.py:3);Condition.wait (/lib/threading.py:327)"
    found = shares(f"{LOOP} 30\n{DEVICE} 10\n{wait} 500\n")
    assert found["ASGI and the path of a request"] == 75.0
    assert found["queue and hand-over"] == 25.0
    assert sum(found.values()) == 100.0
    assert list(found) == [*PHASES, REST]
