"""A key's shares are made anew on a running system: signatures go on, and the old shares go."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.client import Client, ClientSettings, RequestFailedError
from contracts.failures import FailureCode
from contracts.keys import CertifiedKey, EpochBundle
from contracts.primitives import Curve, Scheme
from ops.chaos.tap import Tap
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.services import Services
from tests.patience import until
from tests.system.keys.moments import ALL, SOME, Moves, kill_who_signs, longest_gap
from tests.system.keys.party_rows import shares
from workers.session.epochs import SWITCH_S

OLD, NEW = ["party-1", "party-2", "party-3"], ["party-2", "party-3", "party-4"]
SCHEMES = {
    Curve.ED25519: (Scheme.ED25519,),
    Curve.SECP256K1: (Scheme.BIP340, Scheme.ECDSA),
}
EVERY_MOMENT = bool(os.environ.get("WARREN_EVERY_MOMENT"))
SHORTEST_GAP_S = 2.0
"""What a busy machine may take for one signature."""
IDLE_S = 0.2
"""Between two signatures: what a busy machine does easily."""


@pytest.fixture(scope="module")
def crew(services: Services) -> Iterator[Deployment]:
    plan = Plan(
        party_count=4,
        clients=("svcA",),
        sqlite_parties=2,
        pools={"low": 4, "high": 8, "batch": 8},
        keygen_processes=1,
        presigning_processes=0,
    )
    with running_deployment(services, plan) as running:
        yield running


@pytest.fixture
async def client(crew: Deployment) -> AsyncIterator[Client]:
    async with Client.connect(ClientSettings.load(crew.clients["svcA"])) as connected:
        yield connected


async def make(client: Client, name: str, curve: Curve) -> CertifiedKey:
    key = await client.create_key(name, curve=curve, threshold=2, party_count=3, parties=OLD)
    for scheme in SCHEMES[curve]:
        await client.sign(name, message=bytes(32), scheme=scheme)
    return key


@dataclass
class Load:
    """Signs all the time, by schemes of a key in turn.

    Attributes:
        signers: Of each signature, with the moment in which it was there.
    """

    client: Client
    key_id: str
    schemes: tuple[Scheme, ...]
    signers: list[tuple[float, frozenset[str]]] = field(default_factory=list)

    async def run(self) -> None:
        for scheme, number in zip(itertools.cycle(self.schemes), itertools.count()):
            message = number.to_bytes(32)
            made = await self.client.sign(self.key_id, message=message, scheme=scheme)
            self.signers.append((time.monotonic(), frozenset(made.signers)))
            await asyncio.sleep(IDLE_S)


async def warren(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ops.cli", *words]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(300)
async def test_another_committee_takes_over_while_signatures_are_made(
    crew: Deployment, client: Client
) -> None:
    """To the end: until the old shares are gone. Both curves at once; and at each step of the way
    from the old shares to the new ones whoever signs is killed, at each party."""
    keys = {curve: await make(client, f"over-{curve}", curve) for curve in Curve}
    loads = [Load(client, f"over-{curve}", SCHEMES[curve]) for curve in Curve]
    async with asyncio.TaskGroup() as together:
        running = [together.create_task(load.run()) for load in loads]
        await asyncio.sleep(2)
        made = await asyncio.gather(
            *(client.reshare(key.facts.key_id, parties=NEW) for key in keys.values())
        )
        since = time.time() - time.monotonic()
        for result in made:
            assert result.bundle is not None
            facts = result.bundle.key.facts
            assert facts.public_key == keys[facts.curve].facts.public_key
            assert [holder.party_id for holder in facts.holders] == NEW
        await kill_who_signs(crew, keys[Curve.SECP256K1].facts.session_id)

        async def gone() -> bool:
            left = [await shares(crew, key.facts.session_id) for key in keys.values()]
            return left == [{"party-1": set()} | {name: {1} for name in NEW}] * len(keys)

        await until(gone)

        async def told() -> bool:
            histories = [await client.history(key.facts.key_id) for key in keys.values()]
            return not any(each.successions[0].still_to_delete for each in histories)

        await until(told)
        await asyncio.sleep(2)
        for task in running:
            assert not task.done()
            task.cancel()
    for load, result in zip(loads, made, strict=True):
        assert result.signs_from is not None
        turn = result.signs_from / 1000 - since
        early = {who for at, who in load.signers if at < turn}
        late = [who for at, who in load.signers if at > turn + 20]
        assert all(who <= set(OLD) for who in early)
        assert late
        assert all(who <= set(NEW) for who in late)


@pytest.mark.timeout(1800 if EVERY_MOMENT else 300)
async def test_whoever_is_killed_at_a_step_keeps_nobody_from_it_nor_from_signing(
    crew: Deployment, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """With WARREN_EVERY_MOMENT=1: every role at every step."""
    key = await make(client, "killed", Curve.SECP256K1)
    moments = ALL if EVERY_MOMENT else SOME
    loads = [Load(client, "killed", (scheme,)) for scheme in SCHEMES[Curve.SECP256K1]]
    tap = Tap(crew.amqp_url, crew.plan.party_ids, set())
    moves = Moves(crew, client, tap, OLD, NEW[::-1])
    async with tap.listening(), asyncio.TaskGroup() as together:
        signing = [together.create_task(load.run()) for load in loads]
        times = [time.monotonic()]
        await moves.only_kill(moments)
        times.append(time.monotonic())
        made = await moves.kill_at_each(key, moments)
        times.append(time.monotonic())
        for task in signing:
            assert not task.done()
            task.cancel()
    assert {each.key_id for each in made} == {"killed"}
    last = made[-1].bundle
    assert last is not None
    assert last.key.facts.public_key == key.facts.public_key
    for load in loads:
        signed = [at for at, _ in load.signers]
        without, with_them = (longest_gap(signed, *each) for each in itertools.pairwise(times))
        at = [each for began, each in moves.began if began <= with_them.began][-1:]
        with capsys.disabled():
            print(
                f" {load.schemes[0]}: longest gap {without.seconds:.2f} s without reshares, "
                f"{with_them.seconds:.2f} s with {len(made)}, from {at} on"
            )
        assert with_them.seconds <= 2 * max(without.seconds, SHORTEST_GAP_S)


@pytest.mark.timeout(200)
async def test_a_party_that_is_away_is_named_and_the_key_goes_on(
    crew: Deployment, client: Client
) -> None:
    await make(client, "away", Curve.ED25519)
    stopped = crew.supervisor.pids["party-3.keygen.1"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        with pytest.raises(RequestFailedError) as caught:
            await client.reshare("away", tries=1, timeout_s=15)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert caught.value.failure.code is FailureCode.EXPIRED
    assert caught.value.failure.silent == ["party-3"]
    await client.sign("away", message=b"it signs", scheme=Scheme.ED25519)
    # That number is used up: the next one is asked for.
    with pytest.raises(RequestFailedError, match="first_epoch must be later"):
        await client.reshare("away", tries=1)
    made = await client.reshare("away", first_epoch=2)
    assert made.bundle is not None
    assert made.bundle.key.facts.epoch == 2


async def test_a_client_that_was_not_there_believes_the_new_holders(
    crew: Deployment, client: Client
) -> None:
    """Another process of it, which has known the key before and asks again when it is needed."""
    await make(client, "elsewhere", Curve.ED25519)
    settings = ClientSettings.load(crew.clients["svcA"])
    async with Client.connect(settings) as other:
        await other.sign("elsewhere", message=b"before", scheme=Scheme.ED25519)
        await client.reshare("elsewhere", parties=NEW, threshold=3)
        await asyncio.sleep(SWITCH_S)

        async def by_three() -> bool:
            made = await other.sign("elsewhere", message=b"after", scheme=Scheme.ED25519)
            return len(made.signers) == 3

        await until(by_three)


async def test_the_command_line_shows_what_was_made_and_keeps_the_proof(
    crew: Deployment, client: Client, tmp_path: Path
) -> None:
    await make(client, "by-hand", Curve.ED25519)
    config, proof = str(crew.clients["svcA"]), tmp_path / "epoch.json"
    words = ["key", "reshare", "by-hand", "--config", config]
    parties = [word for name in NEW for word in ("--party", name)]
    told = await warren(*words, *parties, "--out", str(proof))
    assert told.returncode == 0, told.stderr
    assert "1, dealt from 0 by party-" in told.stdout
    assert "any 2 of 3 parties sign" in told.stdout
    assert "party-1" in told.stdout.partition("shown out")[2]
    assert "2 of the 3 former holders have deleted theirs" in told.stdout
    bundle = EpochBundle.model_validate_json(proof.read_text())
    assert [holder.party_id for holder in bundle.key.facts.holders] == NEW
    told = await warren("key", "history", "by-hand", "--config", config)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("not told: still to delete") == len(OLD)
    assert "2 of the 3 holders have honestly deleted theirs" in told.stdout
    told = await warren("key", "refresh", "by-hand", "--config", config, "--json")
    assert told.returncode == 0, told.stderr
    shown = json.loads(told.stdout)
    assert (shown["epoch"], shown["from_epoch"]) == (2, 1)
    told = await warren(*words, "--party", "party-9", "--party", "party-1")
    assert told.returncode == 1
    assert "there is no party party-9" in told.stderr
    told = await warren(*words, "--out", str(tmp_path / "no" / "where.json"))
    assert told.returncode == 2
    assert "no folder" in told.stderr
