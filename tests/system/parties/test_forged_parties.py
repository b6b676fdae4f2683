"""Whoever may publish lists, and is no operator, makes nobody a party."""

from __future__ import annotations

import asyncio

from contracts import list_log
from contracts.connecting import connect
from contracts.identity import Identity
from contracts.numbered_lists import ListOperator, SignedEntry
from contracts.party_list import Action, PartyEntry, PartyKey, PartyList
from contracts.peers import Role
from ops.cli.registering import metric_at
from ops.registrar.parties import PartyDesk
from ops.registrar.settings import RegistrarSettings
from ops.stack.deployment import Deployment
from tests.patience import until
from tests.system.parties.test_parties_come_and_go import followed


def entry(number: int, previous: bytes, signer: Identity, **changes: object) -> SignedEntry:
    content: dict[str, object] = {
        "action": Action.PUT,
        "party_id": "party-9",
        "index": 9,
        "role": Role.PERSISTENT,
        "keys": (PartyKey(public_key=Identity.generate().public.der),),
    }
    made = PartyEntry.model_validate(
        {
            "number": number,
            "previous": previous,
            "signer": signer.public.der,
            "issued_at": 1,
            **content,
            **changes,
        }
    )
    return SignedEntry.of(made, signer)


def refused(stack: Deployment, kind: str) -> dict[str, float]:
    metric = f'warren_list_entries_refused_total{{kind="{kind}",list="parties"}}'
    return {name: metric_at(url, metric) or 0 for name, url in stack.health_urls.items()}


async def test_forged_old_and_forked_entries_change_nothing(
    stack: Deployment, desk: PartyDesk, registrar: RegistrarSettings
) -> None:
    await desk.drain("party-1")
    number = await desk.drain("party-1", undo=True)
    await followed(stack, number)
    operator = registrar.operator
    listed = PartyList([ListOperator(operator.public)])
    kept = registrar.party_list_file.read_bytes().splitlines()
    entries = [SignedEntry.from_bytes(line) for line in kept]
    for each in entries:
        listed.take(each)
    before = {kind: refused(stack, kind) for kind in ("stranger", "fork", "content")}
    theirs = listed.parties()[0]
    wrong = {
        "stranger": entry(number + 1, listed.head, Identity.generate()),
        "fork": entry(number, listed.digest_of(number - 1), operator),
        "content": entry(number + 1, listed.head, operator, index=theirs.index),
    }
    async with await connect(registrar.amqp_url) as connection:
        await list_log.publish(connection, "parties", [*wrong.values(), *entries])
    for kind, counts in before.items():

        async def counted(kind: str = kind, counts: dict[str, float] = counts) -> bool:
            now = await asyncio.to_thread(refused, stack, kind)
            return all(now[name] > count for name, count in counts.items())

        async with asyncio.timeout(20):
            await until(counted)
    await followed(stack, number)
    everybody, reached, told = await desk.look()
    assert "party-9" not in {party.party_id for party in everybody}
    assert (reached, len(told)) == (number, 3)
