"""A transport that closes gently, by itself. What clients see of it is in test_early_answers.py."""

from asyncio import Transport
from typing import cast

import pytest

from app import lingering_transport
from app.lingering_transport import MOST_SECONDS, LingeringTransport


class Real:
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data.decode())

    def write_eof(self) -> None:
        self.done.append("end")

    def resume_reading(self) -> None:
        self.done.append("read")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def close(self) -> None:
        self.done.append("close")

    def is_closing(self) -> bool:
        return "close" in self.done


def around(real: Real, *, is_sending: bool) -> LingeringTransport:
    transport = LingeringTransport(cast(Transport, real), lambda: 100.0)
    transport.is_sending = is_sending
    return transport


def test_the_head_of_an_answer_goes_out_with_its_body() -> None:
    real = Real()
    transport = around(real, is_sending=False)
    for data in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"one", b"two"):
        transport.write(data)
    assert real.done == ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\none", "two"]


@pytest.mark.parametrize("is_sending", [False, True])
def test_a_head_without_a_body_goes_out_when_it_is_complete_or_the_transport_is_closed(is_sending: bool) -> None:
    real = Real()
    transport = around(real, is_sending=is_sending)
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    transport.write(head)
    assert not real.done
    transport.flush()
    transport.flush()
    assert real.done == [head.decode()]
    transport.write(head)
    transport.close()
    assert real.done[1] == head.decode()
    assert len(real.done) > 2


def test_it_closes_at_once_if_the_client_owes_nothing() -> None:
    real = Real()
    transport = around(real, is_sending=False)
    transport.pause_reading()
    transport.write(b"answer")
    assert not transport.is_closing()
    transport.close()
    transport.close()
    transport.end_if_overdue(1000.0)
    assert transport.is_closing()
    assert real.done == ["pause", "answer", "close"]


def test_it_tells_a_client_that_still_sends_and_closes_when_that_takes_too_long() -> None:
    real = Real()
    transport = around(real, is_sending=True)
    transport.end_if_overdue(1000.0)
    transport.write(b"answer")
    transport.close()
    transport.close()
    transport.end_if_overdue(100.0 + MOST_SECONDS)
    assert transport.is_closing()
    assert real.done == ["answer", "end", "read"]
    transport.end_if_overdue(100.1 + MOST_SECONDS)
    assert real.done == ["answer", "end", "read", "close"]


def test_it_closes_when_too_much_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering_transport, "MOST_BYTES", 1000)
    real = Real()
    transport = around(real, is_sending=True)
    transport.close()
    for _ in range(2):
        transport.discard(500)
    assert real.done == ["end", "read"]
    transport.discard(1)
    assert real.done == ["end", "read", "close"]
