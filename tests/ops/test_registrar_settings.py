"""A registrar's file, and what the environment says beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.identity import Identity
from ops.registrar.settings import RegistrarSettings
from ops.stack.certificates import TestingCa

FILE = """\
[registrar]
operator_key_file = "operator.key"
list_file = "clients.list"
members_file = "members.yaml"
amqp_url = "amqp://warren.registrar:hush@127.0.0.1/warren"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "operator.key").write_text(Identity.generate().to_base64())
    path = tmp_path / "registrar.toml"
    path.write_text(FILE)
    return path


async def test_the_management_api_is_reached_as_by_warren_topology(
    path: Path, tmp_path: Path
) -> None:
    ca = TestingCa.make(tmp_path / "ca").certificate
    settings = RegistrarSettings.load(
        path,
        {
            "WARREN_MANAGEMENT_URL": "https://broker:15671",
            "WARREN_MANAGEMENT_USER": "admin",
            "WARREN_MANAGEMENT_PASSWORD": "hush",
            "WARREN_MANAGEMENT_CA_FILE": str(ca),
        },
    )
    assert settings.management_url == f"https://broker:15671?cafile={ca}"
    assert "hush" not in repr(settings)
    async with settings.management() as management:
        assert management.user == "admin"
