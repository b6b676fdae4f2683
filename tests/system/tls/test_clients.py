"""A client that is let in where certificates are the only logins."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.client import Client, ClientSettings
from ops.cli.current import REGISTRAR
from ops.registrar.desk import Desk, Wish
from ops.registrar.settings import RegistrarSettings
from ops.stack.certificates import TestingCa
from ops.stack.deployment import Deployment

pytestmark = pytest.mark.system


async def test_its_file_names_the_certificate_that_is_to_be_put_beside_it(
    encrypted: Deployment, ca: TestingCa, tmp_path: Path
) -> None:
    environment = {"WARREN_MANAGEMENT_URL": encrypted.services.management_url}
    settings = RegistrarSettings.load(encrypted.directory / REGISTRAR, environment)
    out = tmp_path / "given"
    given = await Desk(settings, settle_s=1).add(Wish(client_id="svcNew", out=out))
    pair = ca.for_user(f"{encrypted.vhost}.client.svcNew")
    for file in (pair.certificate, pair.key):
        shutil.copy2(file, out)
    async with Client.connect(ClientSettings.load(given.config)) as client:
        assert await client.keys() == []
