"""`warren session`: what a request set in motion."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from contracts.client import Client, RequestFailedError, Settlement
from contracts.failures import FailureCode
from contracts.primitives import Owner, Status
from contracts.results import SessionEvent, SessionView
from ops.cli.asking import AsJson, Config, ask
from ops.cli.exits import IN_WORDS, ExitCode, print_json
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


@app.command(epilog=f"{IN_WORDS} 1 also if the request completed, or the cancel is not final.")
def cancel(
    context: typer.Context,
    id_: Annotated[
        str,
        typer.Argument(metavar="ID", help="Of the request to give up, or of its session."),
    ],
    of: Annotated[
        str | None,
        typer.Option(
            metavar="CLIENT[/TENANT]",
            help="Whose request it is: a tenant's of this client, or for operators anybody's.",
            show_default=False,
        ),
    ] = None,
    key_id: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="ID",
            help="The key that was to sign, for a request that the coordinator does not know.",
            show_default=False,
        ),
    ] = None,
    issued_at: Annotated[
        int | None,
        typer.Option(
            metavar="MS",
            help="With --key: its `issued_at`, in Unix milliseconds.",
            min=0,
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Let nothing come of a request any more, and show which parties state that nothing will.

    It is final when so many parties state it that, were as many liars among them as the setting
    `liars` says, no signature could be made: of this request id, not of the same message under
    another. What has completed stays completed.

    \b
    Example:
      warren session cancel 5f0c6a7e9b3d41c2a8e7f0d1b2c3a495
    """
    owner = None if of is None else _owner(of)
    settlement = ask(
        context,
        lambda client: _cancel(client, id_, key_id=key_id, issued_at=issued_at, of=owner),
        config=config,
        as_json=as_json,
        waiting="Cancelling ...",
    )
    if as_json:
        print_json(_in_json(settlement))
    else:
        _print_settlement(settlement)
    if not settlement.final:
        raise typer.Exit(ExitCode.FAILED)


def _owner(text: str) -> Owner:
    client_id, _, tenant = text.partition("/")
    try:
        return Owner(client_id=client_id or None, tenant=tenant or None)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is not CLIENT or CLIENT/TENANT") from None


async def _find(client: Client, id_: str) -> SessionView:
    if _SESSION_ID.fullmatch(id_):
        try:
            return await client.session(session_id=bytes.fromhex(id_))
        except RequestFailedError as error:
            if error.failure.code is not FailureCode.UNKNOWN_REQUEST:
                raise
    return await client.session(request_id=id_)


async def _cancel(
    client: Client, id_: str, *, key_id: str | None, issued_at: int | None, of: Owner | None
) -> Settlement:
    if _SESSION_ID.fullmatch(id_) and of is None:
        try:
            return await client.cancel_session(bytes.fromhex(id_))
        except RequestFailedError as error:
            if error.failure.code is not FailureCode.UNKNOWN_REQUEST:
                raise
    return await client.cancel(id_, key_id=key_id, issued_at=issued_at, of=of)


def _in_json(settlement: Settlement) -> dict[str, Any]:
    return {
        "target": settlement.target,
        "target_status": settlement.target_status,
        "statements": [each.model_dump(mode="json") for each in settlement.statements],
        "already_signed": list(settlement.already_signed),
        "silent": list(settlement.silent),
        "liars_tolerated": settlement.liars_tolerated,
        "final": settlement.final,
        "signature_may_exist": settlement.signature_may_exist,
    }


def _print_settlement(settlement: Settlement) -> None:
    said = {
        **dict.fromkeys((each.party_id for each in settlement.statements), "states: never signed"),
        **dict.fromkeys(settlement.already_signed, "already signed"),
        **dict.fromkeys(settlement.silent, "silent"),
    }
    fields = {
        "request": settlement.target,
        "status": settlement.target_status or "not seen by the coordinator, refused from now on",
        **{party_id: said[party_id] for party_id in sorted(said)},
    }
    if settlement.target_status is Status.COMPLETED:
        fields["final"] = "no: it was done before it could be cancelled"
    else:
        tolerated: int | str | None = settlement.liars_tolerated
        if tolerated is None:
            tolerated = "unknown: name the request's --key and --issued-at"
        fields["liars tolerated"] = str(tolerated)
        fields["final"] = "yes" if settlement.final else "no: a signature may exist"
    print_fields({name: str(value) for name, value in fields.items()})


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
