from __future__ import annotations

import asyncio
import itertools
import socket

from clockwork_triton.frontend.http2 import server
from tests.frontend.fakes import run
from tests.frontend.http2.services import Echo


def test_a_turn_of_the_loop_accepts_a_few_connections_and_the_next_goes_on() -> None:
    async def test() -> None:
        serving = server.Server(Echo().service)
        port = await serving.listen("127.0.0.1", 0)
        # As many as the kernel keeps waiting, and no turn of the loop in between.
        peers = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(100)]
        made: list[int] = []

        while not made or made[-1] < len(peers):
            made.append(serving.connections)
            await asyncio.sleep(0)
        steps = [after - before for before, after in itertools.pairwise(made)]
        assert max(steps) <= server._ACCEPTED
        for peer in peers:
            peer.close()
        await serving.stop(0)

    run(test())
