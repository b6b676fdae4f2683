"""`warren client`, as it is typed."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from contracts.client import Client, ClientSettings
from contracts.identity import Identity
from contracts.primitives import Curve
from ops.cli import client as commands
from ops.cli.current import REGISTRAR
from ops.registrar.desk import Desk
from ops.stack.deployment import Deployment
from ops.stack.files import write
from topology.management import Management

from .test_clients_come_and_go import follow, leave_unread


@pytest.fixture
def warren(stack: Deployment, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(commands, "_SETTLE_S", 1.0)
    environment = {
        "WARREN_MANAGEMENT_URL": stack.services.management_url,
        "WARREN_REGISTRAR_CONFIG": str(stack.directory / REGISTRAR),
    }

    async def run(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(
            CliRunner().invoke, commands.app, list(arguments), env=environment
        )
        return result.exit_code, result.output

    return run


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_in_changed_listed_and_out(stack: Deployment, warren: Any, tmp_path: Path) -> None:
    out = tmp_path / "typed"
    code, said = await warren("add", "typed", "--out", str(out), "--operation", "query_keys")
    assert code == 0, said
    assert "user " in said
    password = re.search(r":([^:@]+)@", (out / "client-typed.toml").read_text())
    assert password is not None
    assert password[1] not in said
    for file in out.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert not list((stack.directory / "registrar" / "broker-secrets").glob("*typed*"))
    async with Client.connect(ClientSettings.load(out / "client-typed.toml")) as client:
        assert await client.keys() == []

    named = ["query_keys", "reshare"]
    asks = [each for name in named for each in ("--operation", name)]
    code, said = await warren("rotate", "typed", "--out", str(out), "--until", "2036-01-02", *asks)
    assert code == 0, said
    worker = next(iter(stack.health_urls.values()))
    code, said = await warren(
        "list", "--json", "--worker", worker, "--worker", "http://127.0.0.1:1"
    )
    assert code == 0, said
    told = json.loads(said)
    (row,) = [each for each in told["clients"] if each["client"] == "typed"]
    assert (row["role"], row["logins"], row["operations"]) == ("client", [1, 2], named)
    assert [key["until"] for key in row["keys"]] == ["2036-01-02T00:00:00+00:00", None]
    assert told["followers"] == {worker: told["number"], "http://127.0.0.1:1": None}
    code, said = await warren("rotate", "typed", "--out", str(out))
    assert (code, "changes its keys already" in said) == (1, True)
    assert (await warren("rotate", "typed", "--finish", *asks))[0] == 2
    assert (await warren("rotate", "typed", "--finish"))[0] == 0
    code, said = await warren("list")
    assert "typed  client  login 2  asks query_keys, reshare  " in said

    await leave_unread(stack, "warren.results.typed", 1)
    code, said = await warren("remove", "typed")
    assert (code, "1 results wait for typed" in said) == (1, True)
    code, said = await warren("remove", "typed", "--discard-results", "1")
    assert code == 0, said
    assert "queue warren.results.typed is gone, with 1 messages" in said


async def test_what_has_to_be_named_is_given_to_whom_it_is_named_for(
    stack: Deployment, warren: Any, tmp_path: Path
) -> None:
    named = ("keygen", "query_keys", "reshare")
    more = [word for name in (*named, "reshare") for word in ("--operation", name)]
    code, said = await warren("add", "keeper", "--out", str(tmp_path), *more, "--json")
    assert code == 0, said
    await follow(stack, json.loads(said)["number"])
    code, said = await warren("list")
    assert "keeper  client  login 1  asks keygen, query_keys, reshare  " in said
    async with Client.connect(ClientSettings.load(tmp_path / "client-keeper.toml")) as client:
        await client.create_key("kept", curve=Curve.ED25519, threshold=2, party_count=3)
        made = await client.reshare("kept")
    assert made.bundle is not None
    assert made.bundle.key.facts.epoch == 1
    assert (await warren("remove", "keeper"))[0] == 0


async def test_who_may_ask_what_it_needs_no_name_for_is_told_so(
    warren: Any, tmp_path: Path
) -> None:
    code, said = await warren("add", "plain", "--out", str(tmp_path))
    assert code == 0, said
    assert "plain  client  login 1  asks all but reshare  " in (await warren("list"))[1]


async def test_by_its_own_public_key_nothing_secret_but_the_login_is_handed_over(
    warren: Any, tmp_path: Path
) -> None:
    own = Identity.generate()
    code, said = await warren(
        *("add", "own-key", "--out", str(tmp_path), "--public-key", own.public.to_base64()),
        *("--role", "tenant-client", "--json"),
    )
    assert code == 0, said
    assert json.loads(said)["private_key_file"] is None
    assert names(tmp_path) == ["client-own-key.toml"]
    environment = {"WARREN_PRIVATE_KEY": own.to_base64()}
    settings = ClientSettings.load(tmp_path / "client-own-key.toml", environment)
    async with Client.connect(settings) as client:
        assert (await client.accounts()).accounts == []


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("add", "svc.C"), 2, "is no client id"),
        (("add", "svcC", "--role", "king"), 2, "--role is one of"),
        (("add", "svcZ", "--public-key", "xx"), 1, "not a"),
        (("add", "svcB"), 1, "is a client already, among clients"),
        (("add", "svcZ", "--operation", "fly"), 2, "no right to 'fly'; there are keygen, resh"),
        (
            ("add", "svcZ", "--operation", "rehearse"),
            2,
            "no right to 'rehearse', which goes with 'reshare': name only",
        ),
        (("rotate", "nobody"), 1, "no client nobody is known here"),
        (("remove", "nobody"), 1, "there is no client nobody"),
        (("remove", "../svcB"), 2, "is no client id"),
        (("rotate", "svc.B", "--finish"), 2, "is no client id"),
        (("rotate", "svcB", "--finish"), 1, "does not change its keys"),
        (("rotate", "svcB", "--until", "2020-01-02"), 2, "is over"),
    ],
)
async def test_what_cannot_be_is_told_and_changes_nothing(
    warren: Any, tmp_path: Path, arguments: tuple[str, ...], code: int, text: str
) -> None:
    before = json.loads((await warren("list", "--json"))[1])["number"]
    out = ("--out", str(tmp_path)) if arguments[0] != "remove" else ()
    found, said = await warren(*arguments, *out)
    assert (found, text in " ".join(said.split())) == (code, True), said
    assert json.loads((await warren("list", "--json"))[1])["number"] == before


@pytest.mark.parametrize(
    ("variable", "change", "code", "text"),
    [
        ("amqp", ("//[^:]+:[^@]+@", "//warren.registrar:hush@"), 2, "refuses the login of user"),
        ("amqp", (r":\d+/", ":1/"), 4, "no connection to the broker at 127.0.0.1:1"),
        ("amqp", (r"/[^/]+$", "/nowhere"), 2, "does not open this vhost"),
        ("management", ("//[^:]+:[^@]+@", "//nobody:hush@"), 2, 'refused the user "nobody"'),
        ("management", (r":\d+$", ":1"), 4, "file, or WARREN_MANAGEMENT_URL"),
    ],
)
async def test_a_broker_that_is_away_or_refuses_is_named_without_its_password(
    stack: Deployment,
    warren: Any,
    tmp_path: Path,
    variable: str,
    change: tuple[str, str],
    code: int,
    text: str,
) -> None:
    config = stack.directory / REGISTRAR
    tables = tomllib.loads(config.read_text())
    own = {"amqp": tables["registrar"]["amqp_url"], "management": stack.services.management_url}
    own[variable] = re.sub(*change, own[variable].rstrip("/"))
    tables["registrar"] |= {"amqp_url": own["amqp"], "management_url": own["management"]}
    other = config.with_name(f"other-{tmp_path.name}.toml")
    write(other, tables)
    before = json.loads((await warren("list", "--json"))[1])["number"]
    begun = ("add", tmp_path.name, "--out", str(tmp_path))
    found, said = await warren(*begun, "--config", str(other))
    assert (found, text in " ".join(said.split())) == (code, True), said
    assert "hush" not in said
    assert json.loads((await warren("list", "--json"))[1])["number"] == before
    # Where it was begun, it is ended; or nothing of it was.
    assert (await warren(*begun))[0] == 0
    assert (await warren("remove", tmp_path.name))[0] == 0
    assert (await warren("add", tmp_path.name, "--again", "--out", str(tmp_path / "again")))[0] == 0
    assert (await warren("remove", tmp_path.name))[0] == 0


async def test_after_all_of_it_apply_finds_nothing_to_do(stack: Deployment, desk: Desk) -> None:
    from topology import declared, difference, members_file
    from topology.broker import Broker

    await desk.publish()
    members = members_file.load(stack.directory / "registrar" / "members.yaml")
    async with Management(stack.services.management_url) as management:
        broker = Broker(management, vhost=stack.vhost)
        wanted = declared(members, vhost=stack.vhost)
        plan = difference(wanted, await broker.found(user.name for user in wanted.users))
    assert (plan.changes, plan.conflicts, plan.retired) == ((), (), ())


async def test_a_gateway_follows_too(stack: Deployment, desk: Desk) -> None:
    assert stack.gateways is not None
    listed, _, _ = await desk.look()

    def number() -> float:
        assert stack.gateways is not None
        told = httpx.get(f"{stack.gateways.urls[0]}/metrics", trust_env=False).text
        found = re.search(r"^warren_gateway_list_number(?:{.*})? ([0-9.]+)$", told, re.MULTILINE)
        assert found is not None
        return float(found[1])

    for _ in range(100):
        if await asyncio.to_thread(number) == listed.number:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"the gateway does not follow up to entry {listed.number}")
