"""Configuration files of a party and a coordinator, on SQLite."""

from __future__ import annotations

import json
from pathlib import Path

from contracts.identity import Identity

NOWHERE = "amqp://u:p@127.0.0.1:1/warren"


def party_file(
    folder: Path,
    *,
    amqp_url: str = NOWHERE,
    database_url: str | None = None,
    party_id: str = "party-1",
) -> Path:
    own, other = Identity.generate(), Identity.generate()
    (folder / f"{party_id}.key").write_text(own.to_base64())
    return _write(
        folder / "party.toml",
        {
            "[party]": {
                "party_id": party_id,
                "index": 1,
                "private_key_file": f"{party_id}.key",
                "amqp_url": amqp_url,
                "database_url": database_url or f"sqlite:///{folder / f'{party_id}.sqlite'}",
            },
            "[[coordinators]]": {"public_key": other.public.to_base64()},
            "[[peers]]": {
                "party_id": "party-9",
                "index": 9,
                "public_key": other.public.to_base64(),
            },
        },
    )


def coordinator_file(folder: Path, *, amqp_url: str = NOWHERE) -> Path:
    (folder / "coordinator.key").write_text(Identity.generate().to_base64())
    return _write(
        folder / "coordinator.toml",
        {
            "[coordinator]": {
                "private_key_file": "coordinator.key",
                "amqp_url": amqp_url,
                "database_url": f"sqlite:///{folder / 'coordinator.sqlite'}",
            },
            **{
                "[[parties]]" + " " * i: {
                    "party_id": f"party-{i}",
                    "index": i,
                    "public_key": Identity.generate().public.to_base64(),
                }
                for i in (1, 2)
            },
        },
    )


def _write(path: Path, tables: dict[str, dict[str, str | int]]) -> Path:
    path.write_text(
        "\n".join(
            "\n".join([name, *(f"{key} = {json.dumps(value)}" for key, value in table.items())])
            for name, table in tables.items()
        )
    )
    return path
