"""The parties, as the coordinator and the others see them, and the pools that they fill."""

from __future__ import annotations

from ops.configurations import Role
from ops.doctor.checks import Check, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import Subject, Surroundings
from workers.delivery.clock import now_ms


async def alive(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """By the database's clock, in which coordinators note it."""
    settings = subject.coordinator
    store = await surroundings.coordinator_store(subject)
    seen = {each.party_id: each.last_seen for each in await store.parties()}
    now, silent_ms = await store.now(), settings.limits.party_silent_seconds * 1000
    troubles = []
    parties = await surroundings.parties_of(subject)
    for party_id in (name for name, party in parties.items() if party.present):
        if party_id not in seen:
            troubles.append(Trouble(f"{party_id} never gave a sign of life"))
        elif now - seen[party_id] > silent_ms:
            silent_s = (now - seen[party_id]) / 1000
            troubles.append(Trouble(f"{party_id} has been silent for {silent_s:.0f} s"))
    return troubles


async def known(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Another coordinator process heard of it, by a file of its own."""
    settings = subject.coordinator
    store = await surroundings.coordinator_store(subject)
    now, silent_ms = await store.now(), settings.limits.party_silent_seconds * 1000
    parties = await surroundings.parties_of(subject)
    return [
        warning(f"{each.party_id} gives signs of life, and {subject.path.name} does not have it")
        for each in await store.parties()
        if each.party_id not in parties and now - each.last_seen <= silent_ms
    ]


async def quarrels(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """As long as the coordinator chooses no signer set with both."""
    store = await surroundings.coordinator_store(subject)
    since = now_ms() - int(subject.coordinator.pools.quarrel_seconds * 1000)
    return [
        warning(f"{each.accuser} makes no presignatures with {each.accused}")
        for each in await store.quarrels(since)
    ]


async def bans(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """For what, too."""
    store = await surroundings.party_store(subject)
    return [
        warning(f"it has banned {each.party_id}, which failed the check {each.check!r}")
        for each in await store.bans()
    ]


async def evidence(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Each sender once."""
    store = await surroundings.party_store(subject)
    senders = sorted({each.sender for each in await store.evidence()})
    return [
        Trouble(f"{sender} has signed two different messages for one place") for sender in senders
    ]


async def pools(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Those in use. Signatures from an empty one wait for the next batch."""
    limits = subject.coordinator.pools
    store = await surroundings.coordinator_store(subject)
    if not limits.low:
        return []
    used_after = now_ms() - int(limits.idle_seconds * 1000)
    return [
        warning(
            f"key {pool.key_id} of {pool.owner or '(no client)'}, signers {pool.name.signers}: no "
            f"presignature, {pool.making} in the making, {pool.waiting} waited for"
        )
        for pool in await store.pools(used_after)
        if not pool.stock and pool.used_at
    ]


COORDINATOR, PARTY = frozenset({Role.COORDINATOR}), frozenset({Role.PARTY})

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.PARTIES,
        name="alive",
        must="Every party gives signs of life",
        todo="start its processes, and look with `warren doctor` on its own machine",
        runbook="lost-party.md",
        roles=COORDINATOR,
        look=alive,
    ),
    OfFile(
        group=Group.PARTIES,
        name="known",
        must="No party is unknown here that others know",
        todo="give all processes of the coordinator the same [[parties]], and restart them",
        runbook="new-party.md",
        roles=COORDINATOR,
        look=known,
    ),
    OfFile(
        group=Group.PARTIES,
        name="quarrels",
        must="All parties make presignatures with each other",
        todo="ask the accuser's operator: `warren party bans -c FILE`",
        runbook="suspected-party.md",
        roles=COORDINATOR,
        look=quarrels,
    ),
    OfFile(
        group=Group.PARTIES,
        name="bans",
        must="The party has banned nobody",
        todo="find out what happened; then `warren party bans -c FILE --lift PARTY`",
        runbook="suspected-party.md",
        roles=PARTY,
        look=bans,
    ),
    OfFile(
        group=Group.PARTIES,
        name="evidence",
        must="There is no proof of a lie",
        todo="`warren party evidence -c FILE`",
        runbook="suspected-party.md",
        roles=PARTY,
        look=evidence,
    ),
    OfFile(
        group=Group.PARTIES,
        name="pools",
        must="Every pool in use has presignatures",
        todo="see that the parties' presigning lanes run (`warren party run --lane presigning`), "
        "or raise `high` under [pools]",
        roles=COORDINATOR,
        look=pools,
    ),
)
