"""The server's log: Triton's line formats, and settings that clients may change while it runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

FORMATS = ("default", "ISO8601")


class LogFormatter(logging.Formatter):
    """Triton's default line, `I0520 20:03:25.829575 3355 model.py:441] "message"`, or its ISO 8601 one."""

    def __init__(self, style: str = "default") -> None:
        super().__init__()
        self._iso = style == "ISO8601"

    def format(self, record: logging.LogRecord) -> str:
        when = time.gmtime(record.created)
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        letter = {"WARNING": "W", "ERROR": "E", "CRITICAL": "E"}.get(record.levelname, "I")
        if self._iso:
            head = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', when)} {letter}"
        else:
            micros = int(record.created * 1e6) % 1_000_000
            head = f"{letter}{time.strftime('%m%d %H:%M:%S', when)}.{micros:06d}"
        return f'{head} {os.getpid()} {record.filename}:{record.lineno}] "{text}"'


@dataclass(frozen=True)
class LogSettings:
    """`verbose` above 0 shows details. `file` "" is standard error. `style`: one of FORMATS."""

    info: bool = True
    warning: bool = True
    error: bool = True
    verbose: int = 0
    style: str = "default"
    file: str = ""


class Log:
    """The handler of the root logger and the settings it follows.

    Each kind of line is switched by itself, so a filter decides; the root logger's level only spares the
    making of lines that nobody asked for.
    """

    def __init__(self, settings: LogSettings | None = None) -> None:
        """OSError if the file cannot be opened."""
        self.settings = settings or LogSettings()
        path = self.settings.file
        self._handler = logging.FileHandler(path, encoding="utf-8") if path else logging.StreamHandler()
        self._handler.addFilter(self._wanted)
        self._show()

    def install(self) -> None:
        """Makes it the log of the process, in place of whatever was."""
        logging.basicConfig(handlers=[self._handler], force=True)
        self._show()

    def update(self, changes: Mapping[str, object]) -> None:
        """`changes`: by the names of the fields of LogSettings, values already checked; not the file."""
        assert "file" not in changes
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        self._show()

    def _show(self) -> None:
        self._handler.setFormatter(LogFormatter(self.settings.style))
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.setLevel(self._lowest())

    def _lowest(self) -> int:
        settings = self.settings
        if settings.verbose > 0:
            return logging.DEBUG
        for shown, level in (
            (settings.info, logging.INFO),
            (settings.warning, logging.WARNING),
            (settings.error, logging.ERROR),
        ):
            if shown:
                return level
        return logging.CRITICAL + 1

    def _wanted(self, record: logging.LogRecord) -> bool:
        settings = self.settings
        if record.levelno >= logging.ERROR:
            return settings.error
        if record.levelno >= logging.WARNING:
            return settings.warning
        return settings.info if record.levelno >= logging.INFO else settings.verbose > 0
