"""A client of few instructions, for samples beside a load."""

import asyncio


def head(length: int) -> bytes:
    """The head of a POST to /predict with a JSON body of so many bytes, over a connection of its own."""
    return (
        f"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


async def post(host: str, port: int, body: bytes, pause: float = 0.0) -> tuple[int, bytes]:
    """Posts a body, with a pause after every 500 bytes where one is given; status and body of the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(head(len(body)))
        for part in [body[at : at + 500] for at in range(0, len(body), 500)] if pause else [body]:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        received, _, answer = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")
        return int(received.split()[1]), answer
    finally:
        writer.close()
