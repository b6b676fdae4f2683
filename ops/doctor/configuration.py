"""The files that were given: usable, nobody else's to read, with secrets that are some."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from contracts.placeholders import is_placeholder
from ops.configurations import Role, section
from ops.doctor.checks import Check, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import Subject, Surroundings

LEAST = 12
"""Characters of a password that nobody guesses."""
LEAST_DISTINCT = 10
"""Different bytes of a random key; of 32, fewer come about once in 10^14 keys."""
SECRET_FILES = ("private_key_file", "master_key_file", "amqp_key_file", "database_key_file")
INLINE = ("private_key",)
ADDRESSES = ("amqp_url", "database_url")


async def usable(_: Surroundings, subject: Subject) -> list[Trouble]:
    """As the process would say when it starts."""
    return [] if subject.refusal is None else [Trouble(subject.refusal)]


async def private(_: Surroundings, subject: Subject) -> list[Trouble]:
    """The file itself, if a secret stands in it, and those that it names."""
    return [
        Trouble(f"{path}: {what}", todo=f"chmod 600 {path}")
        for path in _secret_files(subject)
        if (what := _openness(path)) is not None
    ]


async def secrets(_: Surroundings, subject: Subject) -> list[Trouble]:
    """What they are is not told."""
    troubles = []
    for table in _sections(subject):
        troubles += [
            warning(f"{name}: {what}")
            for name in ADDRESSES
            if (what := _weakness(table.get(name))) is not None
        ]
    for path in _master_key_files(subject):
        troubles += [Trouble(f"{path}: {what}") for what in _weak_master_keys(path)]
    return troubles


def _sections(subject: Subject) -> Iterator[dict[str, object]]:
    for name in ("party", "coordinator", "gateway", "client"):
        if found := dict(section(subject.tables, name)):
            yield found


def _secret_files(subject: Subject) -> Iterator[Path]:
    folder = subject.path.parent
    for table in _sections(subject):
        if any(name in table for name in INLINE) or any(
            _password(table.get(name)) for name in ADDRESSES
        ):
            yield subject.path
        for name in (*SECRET_FILES, "tls_key_file"):
            if isinstance(found := table.get(name), str):
                yield folder / found
        others = table.get("other_private_key_files")
        yield from (folder / str(each) for each in (others if isinstance(others, list) else ()))


def _openness(path: Path) -> str | None:
    """Whoever cannot be asked about is told of by `usable`."""
    try:
        found = path.stat()
    except OSError:
        return None
    # As with keys for TLS: root's may be read by a group.
    allowed = stat.S_IRGRP if found.st_uid == 0 else 0
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~allowed:
        return "has a secret in it, and others have access to it"
    return None


def _password(url: object) -> str | None:
    if not isinstance(url, str):
        return None
    try:
        found = urlsplit(url).password
    except ValueError:
        return None
    return None if found is None else unquote(found)


def _weakness(url: object) -> str | None:
    password = _password(url)
    if password is None:
        return None
    assert isinstance(url, str)
    user = urlsplit(url).username
    if is_placeholder(password):
        return "its password is the placeholder of an example"
    if password in {unquote(user or ""), "guest"}:
        return "its password is that of a user whom everybody knows, or the user's own name"
    if len(password) < LEAST:
        return f"its password has fewer than {LEAST} characters"
    return None


def _master_key_files(subject: Subject) -> Iterator[Path]:
    found = section(subject.tables, Role.PARTY).get("master_key_file")
    if isinstance(found, str):
        yield subject.path.parent / found


def _weak_master_keys(path: Path) -> Iterator[str]:
    """That it is no such file, `keys.opens` says."""
    try:
        entries = tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return
    for version, digits in entries.items():
        try:
            key = bytes.fromhex(digits)
        except (TypeError, ValueError):
            continue
        if len(set(key)) < LEAST_DISTINCT:
            shown = version if version.isdigit() else "(no number)"
            yield f"the key of version {shown} is none that was made at random"


EVERY = frozenset(Role)

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.CONFIGURATION,
        name="usable",
        must="The file can be used",
        todo="mend it: its process does not start with it, and nothing else of it can be looked at",
        roles=EVERY,
        look=usable,
        raw=True,
    ),
    OfFile(
        group=Group.CONFIGURATION,
        name="private",
        must="Nobody else can read its secrets",
        todo="chmod 600, and replace what somebody may have read",
        roles=EVERY,
        look=private,
        raw=True,
    ),
    OfFile(
        group=Group.CONFIGURATION,
        name="secrets",
        must="Its secrets are some that nobody guesses",
        todo="put in others: passwords by `warren topology apply`, a master key by "
        "`openssl rand -hex 32` and `warren party reseal`",
        runbook="new-master-key.md",
        roles=EVERY,
        look=secrets,
        raw=True,
    ),
)
