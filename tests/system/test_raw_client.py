"""The README's contract is enough to write a client from."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

from contracts.client import ClientSettings
from contracts.identity import Identity
from contracts.peers import identities
from ops.stack.deployment import Deployment

SOURCE = Path(__file__).with_name("raw_client.py")


def test_a_client_without_our_library_makes_keys_signs_looks_back_and_cancels(
    deployment: Deployment, tmp_path: Path
) -> None:
    settings = ClientSettings.load(deployment.clients["svcB"])
    key_file, parties_file = tmp_path / "client.key", tmp_path / "parties.json"
    key_file.write_text(settings.private_identity.to_base64())
    parties_file.write_text(
        json.dumps(
            {
                party_id: base64.b64encode(next(iter(identities(pinned))).der).decode()
                for party_id, pinned in settings.parties.items()
            }
        )
    )
    key = Identity.from_base64((deployment.directory / "coordinator.key").read_text().strip())
    told: list[str | Path] = [
        settings.amqp_url,
        "svcB",
        key_file,
        parties_file,
        key.public.to_base64(),
    ]
    done = subprocess.run(
        [sys.executable, "-I", SOURCE, *told],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line.split()[0] for line in done.stdout.splitlines()]
    assert said == ["key"] * 2 + ["signature"] * 6 + ["found", "final", "completed"]


def test_it_uses_nothing_of_warren() -> None:
    ours = ("contracts", "workers", "topology", "gateway", "ops")
    imports = [line for line in SOURCE.read_text().splitlines() if "import" in line.split()]
    assert imports
    assert not [line for line in imports if line.split()[1].startswith(ours)]
