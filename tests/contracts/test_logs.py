"""A line of a log is an object that a machine can read."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import Any

from contracts.logs import JsonFormatter

SAYS = """
import logging
from contracts import logs
logs.configure()
for name in ("workers", "gateway", "aio_pika", "aiormq", "asyncio", "uvicorn.error"):
    logging.getLogger(name).debug("debug")
    logging.getLogger(name).info("info")
    logging.getLogger(name).warning("warning")
    logging.getLogger(name).error("error")
"""


def line(message: str, *arguments: object, **extra: object) -> dict[str, Any]:
    logger = logging.getLogger("warren.test")
    record = logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, arguments, None, extra=extra
    )
    told: dict[str, Any] = json.loads(JsonFormatter().format(record))
    return told


def test_an_event_has_its_fields_beside_it() -> None:
    told = line("message %s", "refused", queue="q", reason=ValueError("why"))
    assert told.pop("at")
    assert told == {
        "level": "warning",
        "event": "message refused",
        "logger": "warren.test",
        "queue": "q",
        "reason": "why",
    }


def test_what_is_not_known_is_left_out_and_what_is_false_or_empty_is_not() -> None:
    told = line("event", unknown=None, nothing=0, empty="")
    assert "unknown" not in told
    assert (told["nothing"], told["empty"]) == (0, "")


def test_an_exception_stands_in_its_line() -> None:
    fields: dict[str, int] = {}
    try:
        fields["field"]
    except KeyError:
        record = logging.LogRecord("warren", 40, __file__, 1, "failed", None, sys.exc_info())
    shown = JsonFormatter().format(record)
    assert "\n" not in shown
    assert "KeyError: 'field'" in json.loads(shown)["exception"]


def said(level: str | None) -> set[tuple[str, str]]:
    environment = {name: os.environ[name] for name in os.environ if name != "WARREN_LOG_LEVEL"}
    if level is not None:
        environment["WARREN_LOG_LEVEL"] = level
    process = subprocess.run(
        [sys.executable, "-c", SAYS], env=environment, capture_output=True, text=True, check=True
    )
    assert process.stdout == ""
    lines = [json.loads(each) for each in process.stderr.splitlines()]
    return {(each["logger"], each["event"]) for each in lines}


def test_libraries_speak_when_something_is_wrong_and_we_from_the_level_that_is_asked_for() -> None:
    quiet = {(name, "error") for name in ("aio_pika", "aiormq", "asyncio", "uvicorn.error")}
    quiet.add(("uvicorn.error", "warning"))
    ours = {(name, event) for name in ("workers", "gateway") for event in ("warning", "error")}
    info = {(name, "info") for name in ("workers", "gateway")}
    assert said(None) == quiet | ours | info
    assert said("WARNING") == quiet | ours
