"""Logs of every process of ours: one line of JSON, one event, its fields beside it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOISY = {
    "aiormq": logging.ERROR,
    "aio_pika": logging.ERROR,
    "asyncio": logging.ERROR,
    "uvicorn.error": logging.WARNING,
}
"""The lowest level of theirs that anybody would act on."""


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """What is None is left out."""
        fields: dict[str, Any] = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        fields |= {
            name: value
            for name, value in vars(record).items()
            if name not in _STANDARD and value is not None
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def configure() -> None:
    """To stderr, from the level that WARREN_LOG_LEVEL names; INFO without it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=os.environ.get("WARREN_LOG_LEVEL", "INFO"), handlers=[handler])
    for name, level in _NOISY.items():
        logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def hushed(name: str) -> Iterator[None]:
    """Meanwhile this logger says nothing: a command tells the same in a sentence."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
