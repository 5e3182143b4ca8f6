"""The socket that listens."""

import asyncio
import socket

import pytest

from vljepa.serving.server import address, listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_answers_are_sent_at_once(host):
    """Nagle's algorithm is off: uvicorn writes head and body by themselves, and the body is not to wait for 40 ms."""

    async def run(bound):
        seen = asyncio.get_running_loop().create_future()

        async def connected(reader, writer):
            connection = writer.get_extra_info("socket")
            seen.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        server = await asyncio.start_server(connected, sock=bound)
        _, writer = await asyncio.open_connection(*bound.getsockname()[:2])
        assert await seen != 0
        writer.close()
        server.close()

    with listen(host, 0) as bound:
        assert address(bound).startswith("http://127.0.0.1:")
        asyncio.run(run(bound))
