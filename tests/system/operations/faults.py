"""Faults, and what doctor is to say of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts import addresses
from tests.system.operations.plants import (
    Plant,
    another_coordinator,
    another_version,
    banned,
    behind,
    binding_deleted,
    empty_pool,
    expired,
    filled,
    full_disk,
    list_behind,
    master_key_by_hand,
    memory_alarm,
    mode,
    not_backed_up,
    old_database,
    operator_policy,
    other_file,
    placeholder,
    policy_deleted,
    queue_deleted,
    read_only,
    silent,
    unknown_party,
    without_identity,
    writing,
    wrong_master_key,
)
from tests.system.operations.ward import CLIENT, IDLE, KEPT, LATE, OLD


@dataclass(frozen=True)
class Fault:
    """
    Attributes:
        plant: At the end it is taken back.
        found: By name and whose; with words that stand in what is found.
        todo: Words of what is to be done.
    """

    name: str
    plant: Plant
    found: Mapping[tuple[str, str | None], str]
    todo: str = field(default="warren topology apply")

    def __str__(self) -> str:
        return self.name


RESULTS = addresses.results_queue(IDLE)
USABLE = ("configuration.usable", IDLE)

FAULTS = (
    Fault(
        "missing queue",
        queue_deleted,
        {("topology.plan", None): "is missing", ("queues.unread", IDLE): f"{RESULTS} is missing"},
    ),
    Fault("missing binding", binding_deleted, {("topology.plan", None): "binding"}),
    Fault("missing policy", policy_deleted, {("topology.plan", None): "policy warren-dead"}),
    Fault(
        "operator policy", operator_policy, {("topology.policies", None): "tight"}, "administrator"
    ),
    Fault(
        "permission missing",
        writing(CLIENT, "^$"),
        {
            ("permissions.declared", None): "is not as declared",
            ("permissions.enough", CLIENT): 'may not write to exchange "warren.requests"',
        },
    ),
    Fault(
        "permission too much",
        writing(CLIENT, r"^(warren\.requests|warren\.sessions)$"),
        {
            ("permissions.declared", None): "is not as declared",
            ("permissions.no_more", CLIENT): "may publish to warren.sessions",
        },
    ),
    Fault("memory alarm", memory_alarm, {("broker.alarms", None): "low on memory"}, "make room"),
    Fault(
        "full queue",
        filled(RESULTS, KEPT),
        {
            ("queues.room", IDLE): f"{KEPT} of {KEPT} messages",
            ("queues.all_room", None): RESULTS,
            ("queues.unread", IDLE): "no process reads it",
        },
        "warren results list",
    ),
    Fault(
        "dead letters",
        filled(addresses.DEAD_QUEUE, 2),
        {("queues.dead_letters", None): "2 dead letters"},
        "warren dead-letters list",
    ),
    Fault(
        "unclaimed result",
        filled(addresses.UNCLAIMED, 1),
        {("queues.unclaimed", None): "1 results"},
        "warren dead-letters list",
    ),
    Fault(
        "party of another version",
        another_version,
        {("queues.dead_letters", None): "from warren.reports: not a report: must be one of"},
        "warren dead-letters list",
    ),
    Fault(
        "database behind on migrations",
        behind,
        {("store.schema", OLD): "at revision 0001"},
        "warren store migrate",
    ),
    Fault("read-only database", read_only, {("store.writable", OLD): "read-only"}, "primary"),
    Fault("banned party", banned, {("parties.bans", LATE): "party-2"}, "--lift"),
    Fault("unknown party", unknown_party, {("parties.known", "coordinator"): "party-9"}, "parties"),
    Fault("pool empty", empty_pool, {("parties.pools", "coordinator"): "key ec"}, "presigning"),
    Fault("silent party", silent, {("parties.alive", "coordinator"): "party-2"}, "start"),
    Fault(
        "epoch not backed up",
        not_backed_up,
        {("keys.backed_up", f"party-{i}"): "later" for i in (1, 3)},
        "warren backup create",
    ),
    Fault(
        "list behind",
        list_behind,
        {("configuration.lists", LATE): "1 of them not here"},
        "start",
    ),
    Fault("wrong master key", wrong_master_key, {("keys.opens", LATE): "master key"}, "put back"),
    Fault(
        "master key made by hand",
        master_key_by_hand,
        {
            ("configuration.secrets", LATE): "version 2",
            ("keys.newest", LATE): "need a version before 2",
        },
        "reseal",
    ),
    Fault("old database", old_database, {("keys.of_today", LATE): "an old database"}, "restore"),
    Fault(
        "key file open to others",
        mode(f"{OLD}.key", 0o644, 0o600),
        {("configuration.private", OLD): f"{OLD}.key"},
        "chmod 600",
    ),
    Fault(
        "share keys open to others",
        mode(f"{OLD}.share-keys", 0o755, 0o700),
        {("keys.folder", OLD): "open to others"},
        "chmod 700",
    ),
    Fault("identity gone", other_file(without_identity), {USABLE: "gone.key"}, "mend it"),
    Fault(
        "placeholder",
        other_file(placeholder),
        {USABLE: "placeholder", ("configuration.secrets", IDLE): "placeholder"},
        "passwords by",
    ),
    Fault(
        "another coordinator pinned",
        other_file(another_coordinator),
        {("configuration.pins", None): f"{IDLE} does not believe"},
        "copy the public key",
    ),
    Fault(
        "expired certificate",
        other_file(expired),
        {USABLE: "has expired", ("certificates.own", IDLE): "has expired"},
        "renew it",
    ),
    Fault(
        "disk 95 % full",
        full_disk,
        {("disk.space", name): "96%" for name in ("coordinator", OLD, LATE, CLIENT, IDLE)},
        "df -h",
    ),
)
