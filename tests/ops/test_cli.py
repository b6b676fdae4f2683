"""The commands for people, with a client that answers by script instead of a broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.client import BrokerUnavailableError, ResultTimeoutError, TopologyError
from contracts.failures import FailureCode
from contracts.primitives import Curve, Owner, Scheme
from contracts.results import Status
from ops.cli.exits import ExitCode
from ops.cli.main import PLACES, app
from tests.contracts.samples import PINNED, SingleKey
from tests.ops.terminals import RUNNER, SESSION_ID, FakeClient, Run, key, refusal

###
### Keys
###


def test_a_key_is_made_as_asked_and_shown_with_its_address(run: Run, fake: FakeClient) -> None:
    ended = run(
        *("key", "create", "treasury", "--curve", "ed25519", "-t", "2", "-n", "3"),
        *("--timeout", "7.5", "--request-id", "mine"),
    )
    assert ended.code == 0
    assert fake.asked == [
        {
            "key_id": "treasury",
            "curve": Curve.ED25519,
            "threshold": 2,
            "party_count": 3,
            "parties": None,
            "schemes": None,
            "timeout_s": 7.5,
            "request_id": "mine",
        }
    ]
    public_key = SingleKey(Curve.ED25519).public_key
    assert f"public key    {public_key.hex()}\n" in ended.out
    assert "any 2 of 3 parties sign" in ended.out


def test_naming_the_parties_says_how_many_there_are(run: Run, fake: FakeClient) -> None:
    named = ("--party", "p1", "--party", "p2", "--party", "p3", "--party", "p4")
    assert run("key", "create", "k", "--curve", "secp256k1", *named).code == 0
    assert fake.asked[0]["parties"] == ["p1", "p2", "p3", "p4"]
    assert fake.asked[0]["party_count"] == 4


def test_a_key_s_purposes_are_asked_for_in_their_one_spelling(run: Run, fake: FakeClient) -> None:
    purposes = ("--scheme", "ecdsa", "--scheme", "bip340", "--scheme", "ecdsa")
    assert run("key", "create", "k", "--curve", "secp256k1", *purposes).code == 0
    assert fake.asked[0]["schemes"] == ["bip340", "ecdsa"]
    refused = run("key", "create", "k", "--curve", "ed25519", "--scheme", "ecdsa")
    assert refused.code == ExitCode.USAGE
    assert refused.err == "A key on ed25519 signs in ed25519 only, and --scheme names ecdsa.\n"
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("key", "create", "k", "--curve", "rsa"),
        ("key", "create", "k", "--curve", "ed25519", "--scheme", "rsa"),
        ("key", "create", "k", "--curve", "ed25519", "--threshold", "rsa"),
        ("sign", "k", "--scheme", "rsa", "--message", "m"),
        ("gateway", "api-keys", "create", "k", "--holder", "h", "--scope", "rsa"),
    ],
)
def test_what_an_option_cannot_be_is_told_in_one_sentence(run: Run, words: Sequence[str]) -> None:
    refused = run(*words)
    assert refused.code == ExitCode.USAGE
    assert words[-1] in {"rsa", "m"}
    assert "Invalid value for '--" in refused.err
    assert "Value error" not in refused.err


def test_a_key_as_json_has_what_a_script_needs(run: Run) -> None:
    shown = run("key", "create", "k", "--curve", "secp256k1", "--json", "--request-id", "r7").json
    assert shown["key_id"] == "k"
    assert shown["curve"] == "secp256k1"
    assert (shown["threshold"], shown["party_count"]) == (2, 3)
    assert shown["public_key"] == SingleKey(Curve.SECP256K1).public_key.hex()
    assert [holder["party_id"] for holder in shown["holders"]] == list(PINNED)
    assert set(shown["certificates"]) == set(PINNED)
    assert shown["request_id"] == "r7"


def test_keys_are_listed_one_in_a_line(run: Run, fake: FakeClient) -> None:
    fake.keys_known = [key(Curve.ED25519, "treasury"), key(Curve.SECP256K1, "coins")]
    lines = run("key", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["KEY", "treasury", "coins"]
    assert lines[2].endswith(SingleKey(Curve.SECP256K1).public_key.hex())
    listed = run("key", "list", "--json").json
    assert [each["key_id"] for each in listed["keys"]] == ["treasury", "coins"]


def test_a_client_without_keys_learns_how_to_make_one(run: Run) -> None:
    ended = run("key", "list")
    assert ended.code == 0
    assert "warren key create" in ended.out
    assert run("key", "list", "--json").json == {"keys": [], "doubted": {}}


def test_a_key_that_does_not_check_out_is_told_of_beside_the_others(
    run: Run, fake: FakeClient
) -> None:
    fake.keys_known = [key(Curve.ED25519, "treasury")]
    fake.doubted = {"coins": "no certificate of p3"}
    ended = run("key", "list")
    assert "treasury" in ended.out
    assert "! key coins is not shown: no certificate of p3" in ended.err
    assert run("key", "list", "--json").json["doubted"] == fake.doubted


def test_one_key_is_shown(run: Run, fake: FakeClient) -> None:
    fake.keys_known = [key(Curve.SECP256K1, "coins")]
    ended = run("key", "show", "coins")
    assert fake.asked == [{"only": "coins"}]
    assert "bitcoin p2tr    bc1p" in ended.out


def test_a_key_that_is_not_there_is_a_failure(run: Run) -> None:
    ended = run("key", "show", "coins", "--json")
    assert ended.code == 1
    assert ended.json["error"]["code"] == "unknown_key"


###
### Signatures
###


def test_a_text_is_signed_and_the_signature_shown(run: Run, fake: FakeClient) -> None:
    ended = run("sign", "treasury", "--scheme", "ed25519", "--message", "grüße")
    assert ended.code == 0
    assert fake.asked[0]["message"] == "grüße".encode()
    assert fake.asked[0]["taproot_merkle_root"] is None
    signature, _ = SingleKey(Curve.ED25519).sign(Scheme.ED25519, "grüße".encode())
    assert f"signature   {signature.hex()}\n" in ended.out


def test_hex_digits_keep_their_leading_zeros(run: Run, fake: FakeClient) -> None:
    ended = run("sign", "k", "--scheme", "ed25519", "--message-hex", "0000AB", "--json")
    assert fake.asked[0]["message"] == b"\x00\x00\xab"
    assert ended.json["message"] == "0000ab"


def test_a_file_and_standard_input_are_signed_byte_for_byte(
    run: Run, fake: FakeClient, tmp_path: Path
) -> None:
    content = b"\x00line\r\n\xff"
    (tmp_path / "message").write_bytes(content)
    assert run("sign", "k", "--scheme", "ed25519", "--file", str(tmp_path / "message")).code == 0
    assert run("sign", "k", "--scheme", "ed25519", "--file", "-", input=content).code == 0
    assert [asked["message"] for asked in fake.asked] == [content, content]


def test_taproot_and_signers_are_passed_on(run: Run, fake: FakeClient) -> None:
    digest = "11" * 32
    ended = run(
        *("sign", "coins", "--scheme", "bip340", "--taproot", "--message-hex", digest),
        *("--signer", "p1", "--signer", "p3"),
    )
    assert ended.code == 0
    assert fake.asked[0]["taproot_merkle_root"] == b""
    assert fake.asked[0]["signers"] == ["p1", "p3"]


@pytest.mark.parametrize(
    "message",
    [
        (),
        ("--message", "a", "--message-hex", "61"),
        ("--message-hex", "abc"),
        ("--message-hex", "0x61"),
        ("--file", "/nowhere/at/all"),
    ],
)
def test_anything_but_one_readable_message_is_wrong_usage(
    run: Run, fake: FakeClient, message: Sequence[str]
) -> None:
    assert run("sign", "k", "--scheme", "ed25519", *message).code == 2
    assert fake.asked == []


###
### Sessions
###


def test_a_session_is_shown_as_a_table_with_time_offsets(run: Run, fake: FakeClient) -> None:
    ended = run("session", "show", "r1")
    assert fake.asked == [{"session_id": None, "request_id": "r1"}]
    assert [" ".join(line.split()) for line in ended.out.splitlines()[-3:]] == [
        "TIME EVENT PARTY DETAILS",
        "+0.000 s session_created coordinator parties: p1, p3",
        "+1.250 s share_signed p3 round: 1",
    ]
    assert run("session", "show", "r1", "--json").json["session_id"] == SESSION_ID.hex()


def test_64_hex_digits_are_a_session_id_or_else_a_request_id(run: Run, fake: FakeClient) -> None:
    fake.trouble = refusal(FailureCode.UNKNOWN_REQUEST)
    assert run("session", "show", "ab" * 32).code == 0
    assert fake.asked == [
        {"session_id": bytes.fromhex("ab" * 32), "request_id": None},
        {"session_id": None, "request_id": "ab" * 32},
    ]


def test_a_request_is_cancelled_by_its_id(run: Run, fake: FakeClient) -> None:
    ended = run("session", "cancel", "r1")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "request          r1",
        "status           cancelled",
        "party-1          states: never signed",
        "party-2          already signed",
        "party-3          silent",
        "liars tolerated  1",
        "final            yes",
    ]
    assert fake.asked == [{"request_id": "r1", "key_id": None, "issued_at": None, "of": None}]
    told = run("session", "cancel", "r1", "--json").json
    assert (told["target_status"], told["final"]) == ("cancelled", True)
    assert told["signature_may_exist"] is False


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED, None])
def test_a_cancel_that_is_not_final_fails(
    run: Run, fake: FakeClient, status: Status | None
) -> None:
    fake.settlement = replace(fake.settlement, target_status=status, final=False)
    ended = run("session", "cancel", "r1", "--json")
    assert ended.code == 1
    assert ended.json["signature_may_exist"] is True


def test_a_cancel_that_came_too_late_says_so_and_not_who_was_silent(
    run: Run, fake: FakeClient
) -> None:
    fake.settlement = replace(
        fake.settlement,
        target_status=Status.COMPLETED,
        statements=(),
        already_signed=(),
        silent=(),
        liars_tolerated=-2,
        final=False,
    )
    assert run("session", "cancel", "r1").out.splitlines() == [
        "request  r1",
        "status   completed",
        "final    no: it was done before it could be cancelled",
    ]


def test_a_request_of_another_owner_is_named_with_its_owner(run: Run, fake: FakeClient) -> None:
    which = ("--of", "svcA/alice", "--key", "k", "--issued-at", "7")
    assert run("session", "cancel", "ab" * 32, *which).code == 0
    of = Owner(client_id="svcA", tenant="alice")
    assert fake.asked == [{"request_id": "ab" * 32, "key_id": "k", "issued_at": 7, "of": of}]
    assert run("session", "cancel", "r1", "--of", "no such/owner!").code == 2


def test_a_session_is_cancelled_by_its_id(run: Run, fake: FakeClient) -> None:
    assert run("session", "cancel", "ab" * 32).code == 0
    assert fake.asked == [{"session_id": bytes.fromhex("ab" * 32)}]


def test_64_hex_digits_may_be_a_request_to_cancel(run: Run, fake: FakeClient) -> None:
    fake.trouble = refusal(FailureCode.UNKNOWN_REQUEST)
    ended = run("session", "cancel", "ab" * 32)
    assert f"request          {'ab' * 32}" in ended.out
    assert len(fake.asked) == 2


###
### Ends
###

SIGN = ("sign", "treasury", "--scheme", "ed25519", "--message", "hello", "--request-id", "mine")


@pytest.mark.parametrize(
    ("trouble", "code", "kind"),
    [
        (refusal(FailureCode.EXPIRED, silent=["p2"]), 1, "failed"),
        (ResultTimeoutError("mine"), 3, "timed_out"),
        (BrokerUnavailableError("no connection"), 4, "unreachable"),
        (TopologyError("queue is missing"), 2, "configuration"),
        (ValueError("message has 5"), 2, "usage"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_trouble_has_its_exit_code_and_its_word(
    run: Run, fake: FakeClient, trouble: BaseException, code: int, kind: str
) -> None:
    fake.trouble = trouble
    for_people, for_scripts = run(*SIGN), run(*SIGN, "--json")
    assert (for_people.code, for_scripts.code) == (code, code)
    assert for_people.out == ""
    assert "Traceback" not in for_people.err
    assert for_scripts.json["error"]["kind"] == kind


def test_a_failure_tells_all_that_the_coordinator_told(run: Run, fake: FakeClient) -> None:
    fake.trouble = refusal(FailureCode.PARTY_FAULT, round=2, culprits=["p3", "p2"])
    error = run(*SIGN, "--json").json["error"]
    assert error == {
        "kind": "failed",
        "message": "somebody did something",
        "code": "party_fault",
        "round": 2,
        "silent": [],
        "culprits": ["p2", "p3"],
        "retryable": True,
        "request_id": "r1",
        "session_id": None,
    }
    lines = [" ".join(line.split()) for line in run(*SIGN).err.splitlines()]
    assert lines == [
        "somebody did something",
        "code party_fault",
        "round 2",
        "culprits p2, p3",
        "retryable yes",
        "request id r1",
    ]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), ResultTimeoutError("mine")])
def test_whoever_stops_waiting_learns_what_may_still_go_on(
    run: Run, fake: FakeClient, trouble: BaseException
) -> None:
    fake.trouble = trouble
    assert "mine" in run(*SIGN).err
    assert run(*SIGN, "--json").json["error"]["request_id"] == "mine"


def test_a_question_without_an_answer_sends_nobody_to_look_for_a_session(
    run: Run, fake: FakeClient
) -> None:
    fake.trouble = ResultTimeoutError("q1")
    ended = run("key", "list")
    assert ended.code == 3
    assert "Does the coordinator run" in ended.err
    assert "session show" not in ended.err


def test_without_configuration_and_stack_the_user_learns_both_ways(run: Run) -> None:
    ended = run("key", "list", stack=None)
    assert ended.code == 2
    assert "--config" in ended.err
    assert "warren up" in ended.err


def test_a_broken_configuration_is_named_without_its_secrets(run: Run, config: Path) -> None:
    config.write_text(config.read_text().replace("client_id", "client-id"))
    ended = run("key", "list")
    assert ended.code == 2
    assert str(config) in ended.err
    assert "hunter2" not in ended.err


def test_option_and_environment_go_before_the_running_stack(
    run: Run, fake: FakeClient, config: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace("svcA", "svcB"))
    seen = []
    for options in (
        ("--config", str(config)),
        ("--config", str(other)),
        (),
    ):
        assert run("key", "list", *options, env={"WARREN_CLIENT_CONFIG": str(other)}).code == 0
        assert fake.settings is not None
        seen.append(fake.settings.client_id)
    assert run("key", "list").code == 0
    assert [*seen, fake.settings and fake.settings.client_id] == ["svcA", "svcB", "svcB", "svcA"]


###
### The roof
###


@pytest.mark.parametrize("name", PLACES)
def test_every_command_has_help(run: Run, name: str) -> None:
    ended = run(name, "--help")
    assert ended.code == 0
    assert "Usage" in ended.out


@pytest.mark.parametrize(
    "command", [("key", "create"), ("key", "list"), ("sign",), ("session", "show"), ("up",)]
)
def test_help_has_an_example_and_the_exit_codes(run: Run, command: Sequence[str]) -> None:
    shown = run(*command, "--help").out
    assert "Example" in shown
    assert "Exit codes: 0 done;" in shown


def test_a_mistyped_command_is_wrong_usage_with_a_suggestion(run: Run) -> None:
    ended = run("sing")
    assert ended.code == 2
    assert "sign" in ended.err


def test_interrupted_commands_of_others_end_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("contracts.documents.check", interrupted)
    assert RUNNER.invoke(app, ["docs", "--check"]).exit_code == 130


def test_starting_a_worker_imports_no_other_commands() -> None:
    looked = (
        "import sys; from ops.cli.main import app\n"
        "try: app(['party', 'run', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*sorted(sys.modules), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", looked], capture_output=True, text=True, check=True, timeout=60
    )
    modules = done.stdout.split()
    assert "workers.cli" in modules
    heavy = ("solders", "btclib", "testcontainers", "ops.stack", "ops.bench", "topology")
    assert [module for module in modules if module.startswith(heavy)] == []
