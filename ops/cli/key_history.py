"""`warren key history` and `warren key retire`: whose shares of before are gone."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.client.histories import KeyHistory, Succession
from contracts.keys import KeyFacts
from ops.cli.asking import AsJson, Config, ask
from ops.cli.exits import ExitCode, leave, print_json
from ops.cli.text import print_table

SESSION_ID_BYTES = 32

BundleFile = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE",
        help="What proves the later epoch, as `warren key reshare --out` writes it.",
        dir_okay=False,
    ),
]
PartyConfig = Annotated[
    Path, typer.Option("--config", "-c", help="The party's TOML configuration.", dir_okay=False)
]
Session = Annotated[
    bool,
    typer.Option(
        "--session",
        help="KEY is the session that made the key, in hex: so an operator asks for anybody's.",
    ),
]


def history(
    context: typer.Context,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key that this client has.")],
    session: Session = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show a key's epochs, and which of those who held a share have said that it is deleted.

    What they said is verified by their identities before it is shown. Of whom nothing came that
    holds, nothing is known: it still has to delete.

    \b
    Example:
      warren key history treasury
    """
    asked: dict[str, Any] = {"key_id": key}
    if session:
        asked = {"key_session": _session_id(key, as_json=as_json)}
    found = ask(
        context,
        lambda client: client.history(**asked),
        config=config,
        as_json=as_json,
        waiting=f"Asking for the history of key {key} ...",
    )
    if as_json:
        print_json(_as_json(found))
    else:
        _show(found)


def retire(bundle: BundleFile, config: PartyConfig, as_json: AsJson = False) -> None:
    """Delete a party's shares of before, by hand, on the party's own machine.

    For a party that was shown out and is not reached any more: it checks the proof as it would
    check one that came to it, and goes over to the new epoch at once. What it says of that is
    printed, signed; its processes tell the coordinator when they run. They may run meanwhile.

    \b
    Example:
      warren key retire treasury.epoch.json --config party-1.toml
    """
    from workers.retiring import RetiringError, retire_by_hand

    try:
        said = retire_by_hand(config, bundle)
    except RetiringError as error:
        leave(ExitCode(error.code), error.kind, str(error), as_json=as_json)
    if as_json:
        print_json(json.loads(said.model_dump_json()))
        return
    typer.echo(
        f"{said.party_id} has nothing more of epochs below {said.below} of this key, since "
        f"{_moment(said.retired_at)}."
    )
    if said.backed_up_at is not None:
        typer.echo(
            f"A backup of {_moment(said.backed_up_at)} has such a share. Destroy it, and all "
            "before it: until then they are as good as the share."
        )
    typer.echo(said.model_dump_json())


def _session_id(digits: str, *, as_json: bool) -> bytes:
    try:
        session_id = bytes.fromhex(digits)
    except ValueError:
        session_id = b""
    if len(session_id) != SESSION_ID_BYTES:
        text = f"{digits} is no session: 64 hex digits."
        leave(ExitCode.USAGE, "usage", text, as_json=as_json)
    return session_id


def _show(found: KeyHistory) -> None:
    first = found.successions[-1].before if found.successions else found.facts
    rows = [_row(each.facts, each) for each in found.successions]
    print_table(
        ("EPOCH", "MADE", "SIGNS FROM", "SIGN", "HOLDERS"),
        [*rows, _row(first, None)],
    )
    for each in found.successions:
        typer.echo(f"\nShares of epoch {each.before.epoch}, followed by {each.facts.epoch}:")
        print_table(("PARTY", "DELETED", "IN A BACKUP OF"), _holders(each))
        typer.echo(_promise(each))


def _row(facts: KeyFacts, made: Succession | None) -> list[str]:
    return [
        str(facts.epoch),
        _moment(None if made is None else made.made_at),
        _moment(None if made is None else made.signs_from),
        f"{facts.threshold} of {facts.party_count}",
        ", ".join(holder.party_id for holder in facts.holders),
    ]


def _holders(each: Succession) -> list[list[str]]:
    rows = []
    for holder in each.before.holders:
        said = each.retired.get(holder.party_id)
        if said is None:
            waits = " (a backup is waited for, a day at most)" * (holder.party_id in each.may_wait)
            rows.append([holder.party_id, f"not told: still to delete{waits}", ""])
        else:
            backup = "" if said.backed_up_at is None else _moment(said.backed_up_at)
            rows.append([holder.party_id, _moment(said.retired_at), backup])
    return rows


def _promise(each: Succession) -> str:
    """What revocation promises, and how far it is."""
    said, count = len(each.retired), each.before.party_count
    return (
        f"They sign no more once {each.deleters} of the {count} holders have honestly deleted "
        f"theirs, backups included: {said} {'has' if said == 1 else 'have'} said so."
    )


def _moment(at_ms: int | None) -> str:
    return "-" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%F %T} UTC"


def _as_json(found: KeyHistory) -> dict[str, Any]:
    epochs = [
        _epoch(each.facts)
        | {
            "made_at": each.made_at,
            "signs_from": each.signs_from,
            "before": {
                "epoch": each.before.epoch,
                "deleters_needed": each.deleters,
                "still_to_delete": each.still_to_delete,
                "may_wait": each.may_wait,
                "retired": [json.loads(said.model_dump_json()) for said in each.retired.values()],
            },
        }
        for each in found.successions
    ]
    first = found.successions[-1].before if found.successions else found.facts
    return {
        "key_id": found.facts.key_id,
        "key_session": found.facts.session_id.hex(),
        "public_key": found.facts.public_key.hex(),
        "epochs": [*epochs, _epoch(first)],
    }


def _epoch(facts: KeyFacts) -> dict[str, Any]:
    return {
        "epoch": facts.epoch,
        "threshold": facts.threshold,
        "parties": [holder.party_id for holder in facts.holders],
    }
