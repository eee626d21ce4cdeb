"""`clockwork-triton serve`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from clockwork_triton import event_loop
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.errors import ServerError
from clockwork_triton.flags import ServeOptions, parse_serve
from clockwork_triton.telemetry.logs import Log, LogSettings


def main(argv: Sequence[str]) -> int:
    """Serves until a signal; the exit status."""
    options, notices = parse_serve(argv, tuple(POLICIES))
    try:
        log = Log(log_settings(options))
    except OSError as error:
        print(f"cannot write the log to {options.log_file}: {error.strerror}", file=sys.stderr)
        return 1
    log.install()
    for notice in notices:
        logging.getLogger(__name__).warning(notice)

    from clockwork_triton.server import Server

    async def serve() -> int:
        try:
            server = Server(options, log)
        except ServerError as error:
            logging.getLogger(__name__).error("cannot start: %s", error.message)
            return 1
        except OSError as error:
            logging.getLogger(__name__).error("cannot start: %s", error)
            return 1
        return await server.run()

    return event_loop.run(serve(), options.busy_poll_us)


def log_settings(options: ServeOptions) -> LogSettings:
    return LogSettings(
        options.log_info,
        options.log_warning,
        options.log_error,
        options.log_verbose,
        options.log_format,
        options.log_file,
    )
