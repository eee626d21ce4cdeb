"""`clockwork-triton serve`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from clockwork_triton.console import configure_logging
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.flags import parse_serve


def main(argv: Sequence[str]) -> int:
    """Serves until a signal; the exit status."""
    options, notices = parse_serve(argv, tuple(POLICIES))
    configure_logging(options.log_verbose, options.log_info, options.log_warning, options.log_error)
    for notice in notices:
        logging.getLogger(__name__).warning(notice)

    from clockwork_triton.server import Server

    async def serve() -> int:
        try:
            server = Server(options)
        except OSError as error:
            logging.getLogger(__name__).error("cannot start: %s", error)
            return 1
        return await server.run()

    return asyncio.run(serve())
