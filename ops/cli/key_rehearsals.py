"""`--dry-run` of `warren key reshare`, `refresh` and `repair`: who would take part, and who not."""

from collections.abc import Awaitable, Callable
from typing import Any

import typer

from contracts.client import Client, Rehearsal
from ops.cli.asking import ask
from ops.cli.exits import ExitCode, leave, print_json
from ops.cli.text import print_table

READY = "yes"


def rehearse(
    context: typer.Context,
    asking: Callable[[Client], Awaitable[Rehearsal]],
    key_id: str,
    *,
    config: Any,
    as_json: bool,
    without: str | None = None,
) -> None:
    """Ask, and show what the parties say.

    Arguments:
        without: A party that is to deal nothing.
    """
    found = ask(
        context,
        asking,
        config=config,
        as_json=as_json,
        waiting=f"Asking the parties whether they would make new shares of key {key_id} ...",
    )
    dealers = [name for name in found.dealers if name != without]
    lacking = found.lacking_of(found.missing, dealers)
    told = _as_json(found, dealers, lacking)
    if as_json:
        if lacking is not None:
            leave(ExitCode.FAILED, "not_ready", _sentence(lacking), as_json=True, **told)
        print_json(told)
        return
    print_table(("PARTY", "DEALS", "RECEIVES", "WHY NOT"), _rows(found, without))
    if lacking is not None:
        leave(ExitCode.FAILED, "not_ready", _sentence(lacking), as_json=False)
    typer.echo(
        "\nAt this moment a reshare would find its parties: all new holders, and "
        f"{len(dealers)} who would deal, of whom it takes {found.before.threshold}. "
        "Nothing was begun."
    )


def rehearse_repair(
    context: typer.Context,
    key_id: str,
    party: str,
    *,
    first_epoch: int | None,
    tries: int,
    config: Any,
    as_json: bool,
) -> None:
    """Of a repair: the party whose share is lost deals none, whatever it says."""

    async def asking(client: Client) -> Rehearsal:
        (key,) = await client.keys(key_id)
        names = [holder.party_id for holder in key.facts.holders]
        if party not in names:
            raise ValueError(f"{party} holds no share of key {key_id}; {', '.join(names)} do")
        return await client.rehearse(key_id, first_epoch=first_epoch, tries=tries)

    rehearse(context, asking, key_id, config=config, as_json=as_json, without=party)


def _sentence(lacking: str) -> str:
    return f"A reshare would not find its parties now: {lacking}. Nothing was begun."


def _rows(found: Rehearsal, without: str | None) -> list[list[str]]:
    rows = []
    for name in found.asked:
        deals = _word(found, name, name in found.could_deal, name in found.dealers)
        if name == without:
            deals = "-"
        receives = _word(found, name, name in found.request.parties, name in found.receivers)
        code, why = found.refusals.get(name, ("", ""))
        if name in found.silent:
            why = "no answer"
        rows.append([name, deals, receives, f"{code}: {why}" if code else why])
    return rows


def _word(found: Rehearsal, name: str, wanted: bool, ready: bool) -> str:
    if not wanted:
        return "-"
    if name in found.silent:
        return "?"
    return READY if ready else "no"


def _as_json(found: Rehearsal, dealers: list[str], lacking: str | None) -> dict[str, Any]:
    return {
        "key_id": found.before.key_id,
        "from_epoch": found.before.epoch,
        "ready": lacking is None,
        "lacking": lacking,
        "dealers": dealers,
        "dealers_needed": found.before.threshold,
        "receivers": found.receivers,
        "refusals": [
            {"party_id": name, "code": code, "message": why}
            for name, (code, why) in found.refusals.items()
        ],
        "silent": found.silent,
        "answers": [each.model_dump(mode="json") for each in found.answers.values()],
    }
