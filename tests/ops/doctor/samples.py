"""Files and stores for checks to look at, without a broker."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import migrations
from contracts.identity import Identity
from ops.doctor.checks import examine
from ops.doctor.examination import CHECKS
from ops.doctor.report import Row, Verdict
from ops.doctor.surroundings import Subject, Surroundings

PASSWORD = "a-password-of-some-length"
PARTIES = ("party-1", "party-2", "party-3")


@dataclass
class Office:
    """Files of all roles that agree with each other."""

    folder: Path
    identities: dict[str, Identity] = field(
        default_factory=lambda: {
            name: Identity.generate() for name in (*PARTIES, "coordinator", "svcA")
        }
    )

    def write(self) -> None:
        for name, identity in self.identities.items():
            self.secret(f"{name}.key", identity.to_base64())
        for name in PARTIES:
            self.secret(f"{name}.master", f'1 = "{secrets.token_hex(32)}"')
            self.secret(f"{name}.toml", self.party(name))
        self.secret("coordinator.toml", self.coordinator())
        self.secret("svcA.toml", self.client())

    async def migrate(self, *owners: str) -> None:
        for owner in owners:
            role: migrations.Role = "coordinator" if owner == "coordinator" else "party"
            await migrations.upgrade(role, f"sqlite:///{self.folder / owner}.sqlite")

    def secret(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    def change(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def subjects(self, *names: str) -> tuple[Subject, ...]:
        return tuple(Subject.load(self.folder / f"{name}.toml") for name in names)

    def public(self, name: str) -> str:
        return self.identities[name].public.to_base64()

    def party(self, name: str) -> str:
        own = self._worker("party", name) + f'master_key_file = "{name}.master"\n'
        own += f'party_id = "{name}"\nindex = {PARTIES.index(name) + 1}\n'
        pinned = {"public_key": self.public("coordinator")}
        return own + self._peers("peers") + _table("coordinators", pinned) + self._clients()

    def coordinator(self) -> str:
        own = self._worker("coordinator", "coordinator")
        return own + self._peers("parties") + self._clients()

    def client(self) -> str:
        own = (
            f'[client]\nclient_id = "svcA"\nprivate_key_file = "svcA.key"\n'
            f'amqp_url = "amqp://svcA:{PASSWORD}@127.0.0.1:1/warren"\n'
        )
        pinned = {"public_key": self.public("coordinator")}
        return own + self._peers("parties") + _table("coordinators", pinned)

    def _worker(self, section: str, name: str) -> str:
        return (
            f'[{section}]\nprivate_key_file = "{name}.key"\n'
            f'amqp_url = "amqp://{name}:{PASSWORD}@127.0.0.1:1/warren"\n'
            f'database_url = "sqlite:///{self.folder / name}.sqlite"\n'
        )

    def _peers(self, section: str) -> str:
        return "".join(
            _table(section, {"party_id": name, "index": i, "public_key": self.public(name)})
            for i, name in enumerate(PARTIES, start=1)
        )

    def _clients(self) -> str:
        return _table("clients", {"client_id": "svcA", "public_key": self.public("svcA")})


def _table(name: str, values: dict[str, Any]) -> str:
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    return f"[[{name}]]\n{''.join(lines)}"


async def rows(name: str, surroundings: Surroundings) -> dict[str | None, Row]:
    """Of one check, by whose they are."""
    (check,) = [each for each in CHECKS if f"{each.group}.{each.name}" == name]
    async with surroundings.opened():
        return {row.of: row for row in await examine(check, surroundings)}


async def row(name: str, surroundings: Surroundings) -> Row:
    """Of one check with one row."""
    (only,) = (await rows(name, surroundings)).values()
    return only


def is_right(found: Row) -> bool:
    return (found.verdict, found.found, found.todo) == (Verdict.OK, [], None)
