"""`warren party` on a running system: nothing else is restarted, and no request fails."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.failures import FailureCode
from contracts.identity import Identity
from contracts.primitives import Curve, Scheme
from ops.cli.registering import metric_at, number_at
from ops.registrar.errors import RefusedError
from ops.registrar.parties import PartyDesk
from ops.registrar.settings import RegistrarSettings
from ops.stack.deployment import Deployment
from ops.stack.files import write_secret
from tests.patience import until
from tests.system.parties.conftest import (
    card,
    card_of,
    file_of_new_party,
    following,
    restart,
    start_party,
)
from workers.backup.cli import app as backup

FOUR = ["party-1", "party-2", "party-3", "party-4"]


async def make_key(
    client: Client,
    name: str,
    curve: Curve = Curve.ED25519,
    count: int = 3,
    parties: list[str] | None = None,
) -> list[str]:
    made = await client.create_key(
        name, curve=curve, threshold=2, party_count=count, parties=parties
    )
    return [holder.party_id for holder in made.facts.holders]


async def sign(
    client: Client, name: str, scheme: Scheme = Scheme.ED25519, signers: list[str] | None = None
) -> list[str]:
    made = await client.sign(name, message=os.urandom(32), scheme=scheme, signers=signers)
    return made.signers


async def followed(stack: Deployment, number: int) -> None:
    """By every process."""
    for name, url in stack.health_urls.items():
        for _ in range(200):
            if await asyncio.to_thread(number_at, url, "parties") == number:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail(f"{name} does not follow up to entry {number}")


@asynccontextmanager
async def load(client: Client, *names: tuple[str, Scheme]) -> AsyncIterator[list[list[str]]]:
    """Signatures all the time; whoever's fails, fails the test."""
    over, made = asyncio.Event(), list[list[str]]()

    async def keep_signing(name: str, scheme: Scheme) -> None:
        while not over.is_set():
            made.append(await sign(client, name, scheme))

    tasks = [asyncio.create_task(keep_signing(*each)) for each in names]
    try:
        yield made
    finally:
        over.set()
        await asyncio.gather(*tasks)


@pytest.fixture
def settings(stack: Deployment, registrar: RegistrarSettings) -> ClientSettings:
    return following(stack, registrar)


async def more(made: list[list[str]], count: int = 5) -> None:
    """So many signatures are made, and none is the last."""
    enough = len(made) + count
    async with asyncio.timeout(60):
        await until(lambda: len(made) >= enough)


async def test_a_fourth_party_is_added_while_all_runs_and_holds_a_share_of_the_next_key(
    stack: Deployment, desk: PartyDesk, settings: ClientSettings, tmp_path: Path
) -> None:
    before = dict(stack.supervisor.pids)
    async with Client.connect(settings) as client:
        await make_key(client, "before")
        async with load(client, ("before", Scheme.ED25519)) as made:
            path = file_of_new_party(stack, "party-4", 4)
            given = await desk.add(card_of(path), tmp_path)
            await asyncio.to_thread(start_party, stack, path, given.address)
            await asyncio.to_thread(stack.supervisor.wait_ready)
            assert await desk.add(card_of(path), tmp_path) == given  # once more is nothing new
            await followed(stack, given.number)
            assert await make_key(client, "after", count=4) == FOUR
            await more(made)
        named = ["party-2", "party-4"]
        assert await sign(client, "after", signers=named) == named
    assert {name: stack.supervisor.pids[name] for name in before} == before


async def test_a_client_that_does_not_follow_says_which_party_it_does_not_know(
    stack: Deployment,
) -> None:
    async with Client.connect(ClientSettings.load(stack.clients["svcA"])) as client:
        with pytest.raises(Exception, match="party-4 is not one that we know"):
            await client.create_key(
                "not-followed", curve=Curve.ED25519, threshold=2, party_count=4, timeout_s=5
            )


async def test_a_drained_party_gets_nothing_new_while_others_can_do_it(
    stack: Deployment, desk: PartyDesk, settings: ClientSettings
) -> None:
    async with Client.connect(settings) as client:
        async with load(client, ("after", Scheme.ED25519)) as made:
            await followed(stack, await desk.drain("party-4"))
            await more(made, 10)  # what was begun before
            drained = len(made)
            await more(made, 20)
            assert not any("party-4" in signers for signers in made[drained:])
        assert "party-4" not in await make_key(client, "while-drained")
        with pytest.raises(RequestFailedError) as wrong:
            await make_key(client, "too-many", count=4)
        assert wrong.value.failure.code is FailureCode.TOO_FEW_PARTIES
        url = stack.health_urls["party-1.1"]
        assert metric_at(url, "warren_party_sessions") is not None
        await followed(stack, await desk.drain("party-4", undo=True))
        assert await make_key(client, "once-more", count=4) == FOUR


async def test_a_party_is_killed_under_load_and_no_request_fails(
    stack: Deployment, settings: ClientSettings
) -> None:
    async with Client.connect(settings) as client:
        async with load(client, ("after", Scheme.ED25519), ("after", Scheme.ED25519)) as made:
            await more(made)
            os.kill(stack.supervisor.pids["party-3.1"], signal.SIGKILL)
            await more(made, 30)
        stack.supervisor.start(stack.programs["party-3.1"])
        await asyncio.to_thread(stack.supervisor.wait_ready)


async def test_a_partys_key_changes_under_load_and_keys_of_before_and_after_sign(
    stack: Deployment, desk: PartyDesk, settings: ClientSettings
) -> None:
    folder, new = stack.directory, Identity.generate()
    path, wanted = folder / "party-2.toml", ["party-1", "party-2"]
    write_secret(folder / "party-2.next.key", new.to_base64())
    async with Client.connect(settings) as client:
        await make_key(client, "old", Curve.SECP256K1, parties=FOUR[:3])
        await sign(client, "old", Scheme.ECDSA, wanted)
        async with load(client, ("old", Scheme.ECDSA), ("before", Scheme.ED25519)) as made:
            restart(stack, "party-2.1", path, other_private_key_files=["party-2.next.key"])
            await asyncio.to_thread(stack.supervisor.wait_ready)
            given = await desk.rotate(card("party-2", 2, new))
            await followed(stack, given.number)
            await more(made, 10)

            async def named_anew() -> bool:
                name = f"rotated-{os.urandom(4).hex()}"
                facts = (
                    await client.create_key(
                        name, curve=Curve.ED25519, threshold=2, party_count=2, parties=wanted
                    )
                ).facts
                await sign(client, name)
                return facts.holders[1].identity == new.public.der

            async with asyncio.timeout(30):
                await until(named_anew)
            await make_key(client, "new", Curve.SECP256K1, parties=FOUR[:3])
            await followed(stack, await desk.finish("party-2"))
            await more(made, 10)
        for name, scheme in (
            ("old", Scheme.ECDSA),
            ("new", Scheme.ECDSA),
            ("before", Scheme.ED25519),
        ):
            assert await sign(client, name, scheme, wanted) == wanted
        # Who dealt by another key than it held its share by is who holds the next one.
        renewed = await client.reshare("old", dealers=wanted)
        assert renewed.bundle is not None
        assert renewed.bundle.key.facts.holders[1].identity == new.public.der
        assert await sign(client, "old", Scheme.ECDSA, wanted) == wanted


async def test_who_gives_what_another_has_is_refused_before_anything_is_done(
    stack: Deployment, desk: PartyDesk, registrar: RegistrarSettings, tmp_path: Path
) -> None:
    mine, numbers, out = Identity.generate(), (await desk.look())[1], tmp_path / "out"
    theirs = Identity.from_base64((stack.directory / "party-1.key").read_text().strip())
    for wrong, text in (
        (card("party-9", 1, mine), "1 is the index of party-1"),
        (card("party-9", 4, mine), "4 is or was the index of another party"),
        (card("party-9", 9, theirs), "this is the key of party-1"),
        (card("party-9", 9, registrar.operator), "an operator's key"),
        (card("party-1", 1, mine), "warren party rotate"),
    ):
        with pytest.raises(RefusedError, match=text):
            await desk.add(wrong, out)
    assert (await desk.look())[1] == numbers
    assert not await asyncio.to_thread(out.exists)


async def test_a_lost_key_says_nothing_more_and_a_retired_party_is_never_one_again(
    stack: Deployment, desk: PartyDesk, settings: ClientSettings, tmp_path: Path
) -> None:
    path = stack.directory / "party-4.toml"
    own = card_of(path)
    with pytest.raises(RefusedError, match="still gets new work"):
        await desk.retire("party-4")
    async with Client.connect(settings) as client:
        async with load(client, ("after", Scheme.ED25519)) as made:
            await followed(stack, await desk.lose("party-4", own.identity))
            await more(made, 20)
            assert "party-4" not in await make_key(client, "after-a-loss")
            await followed(stack, await desk.drain("party-4"))
            number = await desk.retire("party-4")
            await followed(stack, number)
            await more(made)
        (key,) = await client.keys("after")
        assert key.facts.party_count == 4  # what it certified stays valid
        with pytest.raises(RequestFailedError, match="there is no party party-4"):
            await client.create_key(
                "revived", curve=Curve.ED25519, threshold=2, party_count=2, parties=FOUR[2:]
            )
    # Nor does a backup miss a key whose holders are others by now, or have other keys.
    config, file = ("--config", str(stack.directory / "party-1.toml")), str(tmp_path / "backup")
    for arguments in (("create", *config, "--out", file), ("verify", *config, file)):
        told = await asyncio.to_thread(CliRunner().invoke, backup, list(arguments))
        assert told.exit_code == 0, told.output
    assert await desk.retire("party-4") == number
    with pytest.raises(RefusedError, match="nobody is called so again"):
        await desk.add(card("party-4", 4, Identity.generate()), tmp_path)
