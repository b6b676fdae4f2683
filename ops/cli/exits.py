"""How commands end: a sentence for people, an exit code for scripts, one JSON object for both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NoReturn

import typer


class ExitCode(IntEnum):
    """What scripts are told."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    TIMED_OUT = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


IN_WORDS = (
    "Exit codes: 0 done; 1 the request failed; 2 wrong usage or configuration; 3 no result in "
    "time; 4 broker not reached; 130 interrupted."
)
"""For the end of a command's help."""


def leave(code: ExitCode, kind: str, text: str, /, *, as_json: bool, **details: Any) -> NoReturn:
    """Say why, and end.

    Arguments:
        kind: One word for scripts.
        details: What else there is to know; people get them as lines, unless they are empty.
    """
    if as_json:
        print_json({"error": {"kind": kind, "message": text, **details}})
    else:
        typer.secho(text, fg="red", err=True)
        lines = {
            name.replace("_", " "): _in_words(value)
            for name, value in details.items()
            if value not in (None, [])
        }
        width = max(12, *map(len, lines)) if lines else 0
        for name, words in lines.items():
            typer.echo(f"  {name:<{width}} {words}", err=True)
    raise typer.Exit(code)


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def print_json(value: dict[str, Any]) -> None:
    """One object on standard output, for programs."""
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def clients_errors(*, as_json: bool, request_id: str | None = None) -> Iterator[None]:
    """Ends the command for what the client library raises.

    Arguments:
        request_id: Of the request that the command makes, to be told where it may still go on.
    """
    from contracts.client import (
        BrokerUnavailableError,
        ClientError,
        RequestFailedError,
        ResultTimeoutError,
        SettingsError,
        TopologyError,
    )

    try:
        yield
    except RequestFailedError as error:
        failure = error.failure
        details = {
            "code": failure.code.value,
            "round": failure.round,
            "silent": failure.silent,
            "culprits": failure.culprits,
            "retryable": failure.retryable,
            "request_id": error.result.request_id,
            "session_id": error.result.session_id and error.result.session_id.hex(),
        }
        leave(ExitCode.FAILED, "failed", failure.message, as_json=as_json, **details)
    except ResultTimeoutError as error:
        text = f"{error}. Does the coordinator run, and know this client's key?"
        if request_id is not None:
            text = f"{error}. It may have ended well: see `warren session show {request_id}`."
        leave(ExitCode.TIMED_OUT, "timed_out", text, as_json=as_json, request_id=error.request_id)
    except BrokerUnavailableError as error:
        leave(ExitCode.UNREACHABLE, "unreachable", str(error), as_json=as_json)
    except (SettingsError, TopologyError) as error:
        leave(ExitCode.USAGE, "configuration", str(error), as_json=as_json)
    except ClientError as error:
        leave(ExitCode.FAILED, "failed", str(error), as_json=as_json)
    except KeyboardInterrupt:
        details = {"request_id": request_id}
        text = "Interrupted."
        if request_id is not None:
            text += f" The request goes on; to end it: warren session cancel {request_id}"
        leave(ExitCode.INTERRUPTED, "interrupted", text, as_json=as_json, **details)
