"""`warren session`: what a request set in motion."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from contracts.client import Client, RequestFailedError
from contracts.failures import FailureCode
from contracts.results import CancelResult, SessionEvent, SessionView
from ops.cli.asking import AsJson, Config, ask
from ops.cli.exits import IN_WORDS, print_json
from ops.cli.text import print_fields, print_table

app = typer.Typer(no_args_is_help=True, help="Follow what a request set in motion; end it.")

_SESSION_ID = re.compile(r"[0-9a-f]{64}")


@app.command(epilog=IN_WORDS)
def show(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="A session id or a request id.")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show a session's event log, with the time since its beginning.

    It is shown as the coordinator tells it; nothing proves it.

    \b
    Example:
      warren session show 5f0c6a7e9b3d41c2a8e7f0d1b2c3a495
    """
    view = ask(
        context,
        lambda client: _find(client, id_),
        config=config,
        as_json=as_json,
        waiting="Asking for the session ...",
    )
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        _print(view)


@app.command(epilog=IN_WORDS)
def cancel(
    context: typer.Context,
    id_: Annotated[
        str,
        typer.Argument(metavar="ID", help="Of the request to give up, or of its session."),
    ],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End the session of a request. What is over already stays as it ended.

    An operator's key may end anybody's, by the session id.

    \b
    Example:
      warren session cancel 5f0c6a7e9b3d41c2a8e7f0d1b2c3a495
    """
    result = ask(
        context,
        lambda client: _cancel(client, id_),
        config=config,
        as_json=as_json,
        waiting="Cancelling ...",
    )
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        what = f"Session {id_}" if result.target is None else f"The session of request {id_}"
        typer.echo(f"{what} is {result.target_status}.")


async def _find(client: Client, id_: str) -> SessionView:
    if _SESSION_ID.fullmatch(id_):
        try:
            return await client.session(session_id=bytes.fromhex(id_))
        except RequestFailedError as error:
            if error.failure.code is not FailureCode.UNKNOWN_REQUEST:
                raise
    return await client.session(request_id=id_)


async def _cancel(client: Client, id_: str) -> CancelResult:
    if _SESSION_ID.fullmatch(id_):
        try:
            return await client.cancel_session(bytes.fromhex(id_))
        except RequestFailedError as error:
            if error.failure.code is not FailureCode.UNKNOWN_REQUEST:
                raise
    return await client.cancel(id_)


def _print(view: SessionView) -> None:
    fields = {
        "session": view.session_id.hex(),
        "request": view.request_id,
        "operation": f"{view.operation} with key {view.key_id}",
        "parties": ", ".join(view.parties),
        "deadline": f"{datetime.fromtimestamp(view.deadline / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC",
        "status": view.status.value,
    }
    print_fields(fields)
    typer.echo()
    print_table(("TIME", "EVENT", "PARTY", "DETAILS"), [_row(event, view) for event in view.events])


def _row(event: SessionEvent, view: SessionView) -> tuple[str, str, str, str]:
    seconds = (event.at - view.events[0].at) / 1000
    return f"+{seconds:.3f} s", event.event, event.party_id or "coordinator", _details(event)


def _details(event: SessionEvent) -> str:
    def shown(value: object) -> str:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return ", ".join(value)
        return value if isinstance(value, str) else json.dumps(value)

    return "; ".join(f"{name}: {shown(value)}" for name, value in event.details.items())
