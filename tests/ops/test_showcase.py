"""`warren demo` and `warren up` as somebody at a terminal starts and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from eth_account import Account
from solders.transaction import Transaction
from typer.testing import CliRunner

from contracts.primitives import Scheme
from contracts.verification import check_signature
from ops.cli import current
from ops.cli.main import app
from ops.stack.services import Services

# A whole stack is started, and on a busy machine that alone may take a minute.
pytestmark = pytest.mark.timeout(600)

WARREN = (sys.executable, "-m", "ops.cli")
TREE = Path(__file__).parents[2]
PATIENCE_S = 240


@dataclass
class Running:
    """A command, with every process that it ever started."""

    process: subprocess.Popen[str]
    family: set[psutil.Process] = field(default_factory=set)

    def watch(self) -> None:
        while self.process.poll() is None:
            self.look()
            time.sleep(0.3)

    def look(self) -> None:
        with contextlib.suppress(psutil.Error):
            self.family |= set(psutil.Process(self.process.pid).children(recursive=True))

    def read_json(self) -> Any:
        """The object that it printed, up to the brace that closes it."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        return json.loads("".join(lines))

    def interrupt(self) -> int:
        self.look()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)

    def left(self) -> list[psutil.Process]:
        """Processes that it started and that still are.

        A little while for those that end by themselves because their parent was killed, as
        Erlang's helpers do. A zombie has ended; it is its parent's to bury.
        """
        deadline = time.monotonic() + 20
        while (alive := list(filter(_runs, self.family))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def started(*arguments: str, environment: Mapping[str, str]) -> Iterator[Running]:
    process = subprocess.Popen(
        [*WARREN, *arguments],
        cwd=TREE,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, children would inherit that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    running = Running(process)
    watcher = threading.Thread(target=running.watch)
    watcher.start()
    try:
        yield running
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        watcher.join()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def given(services: Services) -> dict[str, str]:
    """The tests' own broker and database, which are up already."""
    return {
        "WARREN_AMQP_URL": services.amqp_url,
        "WARREN_MANAGEMENT_URL": services.management_url,
        "WARREN_DATABASE_URL": services.database_url,
    }


def services_secret(given: dict[str, str]) -> str:
    return httpx.URL(given["WARREN_MANAGEMENT_URL"]).password


def vhosts(services: Services) -> set[str]:
    response = httpx.get(f"{services.management_url}/api/vhosts", timeout=30)
    return {vhost["name"] for vhost in response.raise_for_status().json()}


def warren(*arguments: str, config: Path) -> Any:
    done = subprocess.run(
        [*WARREN, *arguments, "--json", "--config", str(config)],
        cwd=TREE,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.system
def test_the_demo_starts_signs_shows_and_leaves_nothing_behind() -> None:
    with started("demo", "--json", environment={}) as running:
        out, err = running.process.communicate(timeout=PATIENCE_S)
        assert running.process.returncode == 0, err
        shown = json.loads(out)

    assert [step["name"] for step in shown["steps"]] == [
        *("services", "deployment", "connect"),
        *("keygen renewed", "refresh", "stolen", "replace"),
        *("keygen svcA", "keygen svcB", "keygen legacy"),
        *("sign solana_transfer", "verify solana_transfer"),
        *("sign bitcoin_taproot", "verify bitcoin_taproot"),
        *("sign bitcoin_segwit", "verify bitcoin_segwit"),
        *("sign ethereum_transfer", "verify ethereum_transfer"),
        *("sign solana_memo", "verify solana_memo"),
        *("sign renewed", "verify renewed"),
        *("deliver", "stop"),
    ]
    assert shown["seconds"] >= sum(step["seconds"] for step in shown["steps"]) - 0.1
    assert [(key["client"], key["curve"], key["threshold"], key["party_count"])
            for key in shown["keys"]] == [
        ("svcA", "ed25519", 2, 3),
        ("svcB", "secp256k1", 2, 3),
        ("legacy", "ed25519", 2, 3),
        ("svcA", "ed25519", 2, 3),
    ]  # fmt: skip
    for made in shown["signatures"]:
        check_signature(
            Scheme(made["scheme"]),
            *(bytes.fromhex(made[name]) for name in ("public_key", "message", "signature")),
        )
        assert len(made["signers"]) == 2
    assert [(made["scheme"], made["verified_by"].split()[0], made["derivation_path"])
            for made in shown["signatures"]] == [
        ("ed25519", "solders", None),
        ("bip340", "btclib", None),
        ("ecdsa", "btclib", "m/84/0/0/0/0"),
        ("ecdsa", "eth-account", "m/44/60/0/0/0"),
        ("ed25519", "solders", None),
        ("ed25519", "solders", None),
    ]  # fmt: skip
    solana, taproot, segwit, ethereum, _, renewed = shown["signatures"]
    Transaction.from_bytes(bytes.fromhex(solana["transaction"])).verify()
    assert taproot["signature"] in taproot["transaction"]
    assert segwit["ecdsa"]["der"] in segwit["transaction"]
    assert Account.recover_transaction(ethereum["transaction"]) == ethereum["address"]
    old, new, moved = shown["renewal"]["epochs"]
    assert (old["parties"], new["parties"]) == 2 * (["party-1", "party-2", "party-3"],)
    assert moved["parties"] == ["party-2", "party-3", "party-4"]
    assert {each["public_key"] for each in (old, new, moved)} == {renewed["public_key"]}
    assert sorted(renewed["signers"]) == ["party-3", "party-4"]
    assert [(each["queue"], each["client_id"]) for each in shown["deliveries"]] == [
        *2 * [("warren.results.svcA", "svcA")],
        *3 * [("warren.results.svcB", "svcB")],
        ("warren.legacy-results", None),
    ]
    assert sorted(each["scheme"] for each in shown["deliveries"]) == [
        *("bip340", "ecdsa", "ecdsa", "ed25519", "ed25519", "ed25519")
    ]
    assert len(running.family) >= 4  # the workers at least; broker and database may be given
    assert running.left() == []


@pytest.mark.system
def test_the_demo_does_it_all_over_tls_too() -> None:
    with started("demo", "--tls", "--json", environment={}) as running:
        out, err = running.process.communicate(timeout=PATIENCE_S)
        assert running.process.returncode == 0, err
    assert len(json.loads(out)["deliveries"]) == 6
    assert running.left() == []


@pytest.mark.system
def test_tls_is_not_for_services_that_are_given(given: dict[str, str]) -> None:
    with started("demo", "--tls", environment=given) as running:
        _, err = running.process.communicate(timeout=PATIENCE_S)
    assert running.process.returncode == 1
    assert "A stack with TLS has services of its own" in err
    assert services_secret(given) not in err


@pytest.mark.system
def test_ctrl_c_while_the_services_start_stops_them() -> None:
    with started("demo", environment={}) as running:
        assert running.process.stdout is not None
        assert "RabbitMQ" in running.process.stdout.readline()
        assert running.interrupt() == 130
    assert running.left() == []


def test_a_stack_that_is_kept_serves_the_other_commands_until_ctrl_c(
    services: Services, given: dict[str, str], tmp_path: Path
) -> None:
    before = vhosts(services)
    with started(
        "demo", "--keep", "--json", "--directory", str(tmp_path), environment=given
    ) as running:
        shown = running.read_json()
        config = current.client_file(tmp_path)
        assert config is not None
        assert config.samefile(shown["default_client"])
        assert shown["vhost"] in vhosts(services) - before

        # As people use it; the demo's keys are there.
        keys = warren("key", "list", config=config)["keys"]
        assert [key["key_id"] for key in keys] == ["demo-renewed", "demo-solana"]
        assert keys[1]["public_key"] == shown["keys"][0]["public_key"]
        signed = warren(
            *("sign", "demo-solana", "--scheme", "ed25519", "--message", "hello"),
            *("--request-id", "mine"),
            config=config,
        )
        assert signed["message"] == b"hello".hex()
        session = warren("session", "show", "mine", config=config)
        assert session["status"] == "completed"
        assert session["events"][-1]["event"] == "completed"

        # The broker is not ours, so neither is its password to be told.
        assert "@" not in shown["amqp_url"] + shown["management_url"]
        assert running.interrupt() == 130
    assert current.client_file(tmp_path) is None
    # Of its own; other tests make some meanwhile.
    assert shown["vhost"] not in vhosts(services)
    assert running.left() == []


def test_up_runs_as_many_parties_as_it_is_told_until_ctrl_c(
    given: dict[str, str], tmp_path: Path
) -> None:
    with started(
        *("up", "-n", "2", "--processes", "2", "--json", "--directory", str(tmp_path)),
        environment=given,
    ) as running:
        shown = running.read_json()
        assert set(shown["processes"]) == {
            *("coordinator.1", "party-1.1", "party-1.2", "party-2.1", "party-2.2"),
            *("party-1.keygen.1", "party-2.keygen.1", "gateway.1"),
            *("party-1.presigning.1", "party-2.presigning.1"),
        }
        (gateway,) = shown["gateways"]
        key = {"X-API-Key": shown["api_key"]}
        with httpx.Client(base_url=gateway, timeout=PATIENCE_S) as caller:
            assert caller.get("/api/v1/accounts", headers=key).json()["accounts"] == []
            assert caller.get("/api/v1/accounts").status_code == 401
        assert running.interrupt() == 130
        assert running.process.stdout is not None
        assert running.process.stdout.read() == ""  # one JSON object, and that was it
    assert running.left() == []


def test_a_worker_that_dies_ends_the_stack_with_its_last_words(
    given: dict[str, str], tmp_path: Path
) -> None:
    with started(
        "up", "-n", "2", "--json", "--directory", str(tmp_path), environment=given
    ) as running:
        psutil.Process(running.read_json()["processes"]["party-2.1"]).kill()
        _, err = running.process.communicate(timeout=PATIENCE_S)
        assert running.process.returncode == 1
        assert "party-2.1 was killed by SIGKILL" in err
        assert "Traceback" not in err
    assert running.left() == []


def test_services_that_were_given_and_are_not_there_are_a_sentence(given: dict[str, str]) -> None:
    nobody = {"WARREN_MANAGEMENT_URL": "http://guest:hunter2@127.0.0.1:9"}
    with started("demo", "--json", environment=given | nobody) as running:
        out, err = running.process.communicate(timeout=PATIENCE_S)
    assert running.process.returncode == 4
    assert json.loads(out)["error"]["kind"] == "unreachable"
    assert "Traceback" not in err
    assert "hunter2" not in out + err


def test_without_the_verifying_libraries_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("ops.showcase.report", "ops.showcase.tour", "ops.showcase.solana"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "solders.message", None)
    monkeypatch.delattr("ops.showcase.report", raising=False)
    ended = CliRunner().invoke(app, ["demo"])
    assert ended.exit_code == 2
    assert "solders is not installed" in ended.stderr
    assert "warren[demo]" in ended.stderr


###
### The link to what runs
###


def test_the_link_is_there_while_the_stack_is(tmp_path: Path) -> None:
    client = _client(tmp_path / "one")
    with current.announced(client.parent, client, tmp_path):
        found = current.client_file(tmp_path)
        assert found is not None
        assert found.samefile(client)
        assert (found.parent / "svcA.key").exists()  # so relative paths in it hold
    assert current.client_file(tmp_path) is None


def test_a_stack_that_ends_leaves_the_link_to_a_newer_one(tmp_path: Path) -> None:
    older, newer = _client(tmp_path / "one"), _client(tmp_path / "two")
    with contextlib.ExitStack() as later:
        with current.announced(older.parent, older, tmp_path):
            later.enter_context(current.announced(newer.parent, newer, tmp_path))
        found = current.client_file(tmp_path)
        assert found is not None
        assert found.samefile(newer)


def test_a_stack_that_was_killed_leaves_nothing_to_find(tmp_path: Path) -> None:
    client = _client(tmp_path / "one")
    with current.announced(client.parent, client, tmp_path):
        for path in client.parent.iterdir():
            path.unlink()
        client.parent.rmdir()
        assert current.client_file(tmp_path) is None


def _client(folder: Path) -> Path:
    folder.mkdir()
    (folder / "svcA.key").touch()
    client = folder / "client-svcA.toml"
    client.touch()
    return client
