"""`warren dead-letters list` and `show` against a real broker, each test in a vhost of its own."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.contracts.samples import keygen_request
from tests.ops.letter_office import DEAD, INBOX, SIGNING, Office
from tests.ops.letter_samples import PAYLOAD, envelope, instruction, signed

pytestmark = pytest.mark.system


###
### Lists
###


async def test_an_empty_queue_is_said_to_be_empty(office: Office) -> None:
    result = await office.run("list")
    assert (result.exit_code, result.stdout) == (0, "Nothing in warren.dead.\n")
    assert await office.told("list", "--queue", "unclaimed") == {
        "queue": "warren.unclaimed",
        "looked_at": 0,
        "not_looked_at": 0,
        "in_use_elsewhere": 0,
        "matching": 0,
        "letters": [],
    }
    for verb, done in (("replay", "replayed"), ("discard", "discarded")):
        told = await office.told(verb, "--all", "--yes")
        assert told == {done: [], "stayed": [], "missing": 0}


async def test_letters_are_listed_the_newest_first_with_all_that_is_known(office: Office) -> None:
    await office.rejected(envelope(), b"second")
    newest, oldest = await office.listed()
    assert (newest["position"], oldest["position"]) == (2, 1)
    assert newest == {
        "id": newest["id"],
        "position": 2,
        "died_at": newest["died_at"],
        "from": INBOX,
        "kind": "keygen/1",
        "bytes": 6,
        "reason": "a consumer rejected it without giving a reason",
        "message_id": "m1",
    }
    assert newest["died_at"].endswith("Z")
    shown = (await office.run("list")).stdout.splitlines()
    assert shown[0].split() == ["ID", "DIED", "(UTC)", "FROM", "KIND", "BYTES", "REASON"]
    assert shown[1].startswith(newest["id"])
    assert shown[2].startswith(oldest["id"])


async def test_looking_often_kills_nothing_and_changes_neither_ids_nor_order(
    office: Office,
) -> None:
    await office.rejected(*(f"{number}".encode() for number in range(70)))
    first = await office.told("list", "--limit", "100")
    assert len({letter["id"] for letter in first["letters"]}) == 70
    for _ in range(12):  # more than a work queue's delivery limit
        assert await office.told("list", "--limit", "100") == first
    assert await office.depth(DEAD) == 70


async def test_a_look_at_some_letters_does_not_keep_the_others_from_being_found(
    office: Office,
) -> None:
    await office.rejected(*(f"{number}".encode() for number in range(20)))
    letters = await office.listed()
    # What went back stands behind the rest now: the second look begins elsewhere.
    some = await office.listed("--look-at", "5")
    assert [letter["id"] for letter in some] == [letter["id"] for letter in letters[-5:]]
    told = await office.told("replay", "--all", "--yes", "--look-at", "5")
    assert (len(told["replayed"]), told["missing"]) == (5, 0)
    left = {letter["id"] for letter in await office.listed()}
    assert left == {letter["id"] for letter in letters} - {each["id"] for each in told["replayed"]}
    assert len(left) == 15


async def test_the_limits_leave_out_what_they_say_they_do(office: Office) -> None:
    await office.rejected(b"0", b"1", b"2", b"3", b"4")
    result = await office.run("list", "--limit", "2", "--look-at", "3")
    assert len(result.stdout.splitlines()) == 3
    assert "1 more are not shown" in result.stderr
    assert "2 more were not looked at" in result.stderr
    told = await office.told("list", "--limit", "2", "--look-at", "3")
    assert (told["looked_at"], told["not_looked_at"], told["matching"]) == (3, 2, 3)
    assert [letter["position"] for letter in told["letters"]] == [3, 2]


###
### Reasons
###


async def test_a_message_that_was_delivered_too_often_says_how_often(office: Office) -> None:
    await office.publish("warren.rounds", "p1", b"poison")
    inbox = await office.queue(INBOX)
    for _ in range(11):
        await (await inbox.get()).nack(requeue=True)
    await office.filled(DEAD, 1)
    (letter,) = await office.listed("--reason-contains", "Delivered 11 times")
    assert letter["from"] == INBOX


async def test_a_request_that_nobody_took_in_time_says_so(office: Office) -> None:
    await office.publish("warren.requests", SIGNING, b"{}", type="sign", expiration=0.05)
    await office.filled(DEAD, 1)
    (letter,) = await office.listed("--from", "warren.requests.*")
    assert letter["reason"] == (
        "its sender's deadline of 0.05 seconds passed before anybody took it"
    )


async def test_what_a_worker_refused_has_its_reason_and_its_old_kind(office: Office) -> None:
    await office.refused(envelope(), reason="the sender is not in our configuration")
    (letter,) = await office.listed("--kind", "keygen/*", "--reason-contains", "not in our")
    assert letter["from"] == INBOX
    assert letter["died_at"].endswith("Z")
    result = await office.run("list", "--kind", "presign/*")
    assert result.stdout == "None of the 1 letters in warren.dead is like that.\n"


###
### One letter
###


async def test_a_letter_cannot_talk_to_the_terminal(office: Office) -> None:
    await office.refused(b'{"a": "\x1b]0;owned\x07"}', reason="bad \x1b[2Jbytes\nID  DIED")
    (letter,) = await office.listed()
    for arguments in (["list"], ["show", letter["id"]]):
        result = await office.run(*arguments)
        assert result.exit_code == 0
        assert not {"\x1b", "\x07"} & set(result.output)
        assert r"bad \x1b[2Jbytes\nID" in result.stdout


async def test_show_tells_all_about_an_instruction(office: Office) -> None:
    request = signed(keygen_request())
    await office.rejected(instruction(request))
    (letter,) = await office.listed()
    told = await office.told("show", letter["id"][:4])
    assert told["body"]["request"] == json.loads(request.body)
    assert told["replay_to"] == {
        "exchange": "warren.rounds",
        "routing_key": "p1",
        "queue": INBOX,
    }
    assert told["deaths"][0]["reason"] == "rejected"
    assert told["properties"]["message_id"] == "m0"
    result = await office.run("show", letter["id"])
    assert "treasury" in result.stdout


async def test_show_keeps_an_envelopes_payload_to_itself(office: Office) -> None:
    await office.rejected(envelope())
    (letter,) = await office.listed()
    result = await office.run("show", letter["id"])
    assert f'"payload_bytes": {len(PAYLOAD)}' in result.stdout
    for form in (PAYLOAD.decode(), PAYLOAD.hex(), base64.b64encode(PAYLOAD).decode()):
        assert form not in result.output


async def test_a_huge_body_is_not_shown_but_written_for_its_owner_only(
    office: Office, tmp_path: Path
) -> None:
    body = b'{"a": "' + b"x" * 8_000_000 + b'"}'
    await office.rejected(body)
    (letter,) = await office.listed()
    file = tmp_path / "body"
    result = await office.run("show", letter["id"], "--raw-to", str(file))
    assert "neither an envelope nor readable JSON" in result.stdout
    assert len(result.output) < 5000
    assert file.read_bytes() == body
    assert file.stat().st_mode & 0o777 == 0o600
    again = await office.told("show", letter["id"], "--raw-to", str(file), code=2)
    assert again["error"]["kind"] == "file"
    await office.told("replay", letter["id"])
    assert (await office.take(INBOX)).body == body


async def test_a_wrong_id_is_said_to_be_wrong_and_nothing_is_done(office: Office) -> None:
    await office.rejected(b"0", b"1")
    letters = await office.listed()
    for verb in (["show"], ["replay", letters[0]["id"]], ["discard", letters[0]["id"], "--yes"]):
        told = await office.told(*verb, "nonsense", code=1)
        assert told["error"]["kind"] == "not_found"
        assert "'nonsense'" in told["error"]["message"]
    assert await office.listed() == letters


async def test_an_ambiguous_id_is_said_to_be_so_and_nothing_is_done(office: Office) -> None:
    await office.rejected(*(f"{number}".encode() for number in range(17)))
    letters = await office.listed()
    firsts = [letter["id"][0] for letter in letters]
    shared = next(digit for digit in firsts if firsts.count(digit) > 1)
    for verb in (["show"], ["replay"], ["discard", "--yes"]):
        told = await office.told(*verb, shared, code=2)
        assert told["error"]["kind"] == "ambiguous"
    assert await office.listed() == letters
