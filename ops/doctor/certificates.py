"""Certificates: those that we show, as their files are, and those that are shown to us."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from contracts.hosts import Hosts, files_of
from contracts.tls import TlsFileError, TlsFiles, read_certificate, refusal
from ops.configurations import Role, section
from ops.doctor.checks import Check, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import NotLookedError, Subject, Surroundings
from workers.store import opening

DAY_S = 86_400
SOON_S = 30 * DAY_S
SOON = 1 / 3
"""Of the time that it is good for, if that is less: some are renewed every few days."""
AMQPS = 5671
POSTGRES = 5432
_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
"""How PostgreSQL is asked for TLS."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who shows us a certificate."""

    name: str
    host: str
    port: int
    files: TlsFiles
    asks_first: bool = False


async def own(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """By the file's tables: settings with one that has expired cannot be used."""
    troubles, any_ = [], False
    for shown_to, path in _own_files(subject):
        any_ = True
        try:
            found = read_certificate(path)
        except TlsFileError as error:
            troubles.append(Trouble(f"shown to {shown_to}: {error}"))
            continue
        term = (found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp())
        troubles += _judged(f"{path}, shown to {shown_to},", term, surroundings.clock())
    if not any_:
        raise NotLookedError("it shows no certificate")
    return troubles


async def theirs(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Chain, name and end of those of broker and database."""
    troubles, any_ = [], False
    async for peer in _peers(subject):
        any_ = True
        try:
            term = await _term(peer)
        except ssl.SSLError as error:
            troubles.append(Trouble(f"{peer.name} at {peer.host}: {refusal(error)}"))
        except (OSError, EOFError):
            continue  # that it does not answer others say
        else:
            whose = f"that of the {peer.name} at {peer.host}"
            troubles += _judged(whose, term, surroundings.clock())
    if not any_:
        raise NotLookedError("neither broker nor database is reached over TLS with a verified name")
    return troubles


def _judged(whose: str, term: tuple[float, float], now: float) -> list[Trouble]:
    begins, ends = term
    left_s = ends - now
    if left_s <= 0:
        return [Trouble(f"{whose} has expired {-left_s / DAY_S:.0f} days ago")]
    if left_s <= min(SOON_S, SOON * (ends - begins)):
        return [warning(f"{whose} expires in {left_s / DAY_S:.1f} days")]
    return []


def _own_files(subject: Subject) -> Iterator[tuple[str, Path]]:
    """Named by the file, by addresses in it, or by the environment."""
    table = section(subject.tables, _SECTIONS[subject.role])
    folder = subject.path.parent
    for prefix, shown_to in (("amqp", "the broker"), ("database", "the database")):
        named = TlsFiles.named(
            folder,
            f"WARREN_{prefix.upper()}",
            certificate=_path(table, f"{prefix}_certificate_file"),
        )
        path = named.certificate or _in_address(table.get(f"{prefix}_url"))
        if path is not None:
            yield shown_to, path
    door = _path(section(subject.tables, Role.GATEWAY), "tls_certificate_file")
    if door is not None:
        yield "callers", folder / door


def _path(table: object, name: str) -> Path | None:
    found = table.get(name) if isinstance(table, dict) else None
    return Path(found) if isinstance(found, str) else None


def _in_address(url: object) -> Path | None:
    if not isinstance(url, str):
        return None
    given = parse_qs(url.partition("?")[2])
    found = given.get("certfile") or given.get("sslcert")
    return Path(found[-1]) if found else None


async def _peers(subject: Subject) -> AsyncIterator[Peer]:
    for url in Hosts(subject.amqp_url, first=0).all:
        if url.scheme == "amqps" and url.host:
            yield Peer("broker", url.host, url.explicit_port or AMQPS, files_of(url))
    if subject.role not in (Role.PARTY, Role.COORDINATOR):
        return
    address = subject.worker.database_url
    mode = parse_qs(address.partition("?")[2]).get("sslmode", [""])[-1]
    if mode == "verify-full" and "," not in address:
        parts = urlsplit(address)
        if parts.hostname:
            files = opening.files_of(address)
            yield Peer("database", parts.hostname, parts.port or POSTGRES, files, asks_first=True)


async def _term(peer: Peer) -> tuple[float, float]:
    """From when until when the certificate is good that it shows, Unix seconds."""
    context = peer.files.context()
    reader, writer = await asyncio.open_connection(
        peer.host, peer.port, ssl=None if peer.asks_first else context
    )
    try:
        if peer.asks_first:
            writer.write(_SSL_REQUEST)
            if await reader.readexactly(1) != b"S":
                raise ConnectionError("it speaks no TLS")
            await writer.start_tls(context, server_hostname=peer.host)
        shown = writer.get_extra_info("peercert")
        begins, ends = (ssl.cert_time_to_seconds(shown[each]) for each in ("notBefore", "notAfter"))
        return float(begins), float(ends)
    finally:
        writer.transport.abort()


_SECTIONS = {
    Role.PARTY: "party",
    Role.COORDINATOR: "coordinator",
    Role.GATEWAY: "client",
    Role.CLIENT: "client",
}

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.CERTIFICATES,
        name="own",
        must="The certificates that it shows do not end soon",
        todo="renew it, and write it over the old one, key first: nothing restarts",
        runbook="tls.md",
        roles=frozenset(Role),
        look=own,
        raw=True,
    ),
    OfFile(
        group=Group.CERTIFICATES,
        name="theirs",
        must="The certificates of broker and database are believed, and do not end soon",
        todo="renew it there, or give the file of its CA (amqp_ca_file, database_ca_file)",
        runbook="tls.md",
        roles=frozenset(Role),
        look=theirs,
    ),
)
