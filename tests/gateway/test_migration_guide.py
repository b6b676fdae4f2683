"""The examples of ops/migrate-callers.md, as a caller would type them one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.entry.secrets import MIN_CHARACTERS, MIN_DISTINCT, weakness
from gateway.problems import KINDS

from .callers import calls, gateway
from .desks import DeskDouble

GUIDE = Path(__file__).parents[2] / "ops" / "migrate-callers.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [
    command
    for block in BLOCKS
    for command in re.split(r"\n(?=curl)", block.replace("\\\n", " ").strip())
]


def request(command: str, known: dict[str, str]) -> dict[str, Any]:
    """What this command would send. An option that is not one of these is an error."""
    for name, value in known.items():
        command = command.replace(f"${name}", value)
    name, *words = shlex.split(command)
    assert name == "curl"
    sent: dict[str, Any] = {"method": None, "headers": {}, "content": None}
    while words:
        word = words.pop(0)
        match word:
            case "-s" | "-N":
                pass
            case "-X":
                sent["method"] = words.pop(0)
            case "-H":
                header, value = words.pop(0).split(": ", 1)
                sent["headers"][header] = value
            case "-d":
                sent["content"] = words.pop(0)
            case _:
                assert word.startswith("http"), word
                sent["url"] = word
    sent["method"] = sent["method"] or ("GET" if sent["content"] is None else "POST")
    assert "$" not in str(sent), "it needs something that no answer before has said"
    return sent


def learn(answer: httpx.Response, known: dict[str, str]) -> None:
    """What the commands after it may need."""
    if not answer.headers["content-type"].startswith("application/json"):
        return
    told = answer.json()
    for name in ("session_id", "account_id", "join_token"):
        if name in told:
            known[name.upper()] = told[name]
    if "key_id" in told.get("result", {}):
        known["KEY_ID"] = told["result"]["key_id"]


async def test_every_command_of_the_guide_works() -> None:
    known = {"GATEWAY": "http://gateway", "API_KEY": "secret"}
    used = set()
    async with calls(gateway(DeskDouble())) as http:
        for command in COMMANDS:
            sent = request(command, known)
            answer = await http.request(**sent)
            assert answer.status_code in {200, 201}, (command, answer.text)
            assert sent["headers"]["X-API-Key"] == "secret"
            learn(answer, known)
            used.add(
                (sent["method"], re.sub(r"[0-9a-f]{32,}", "{id}", httpx.URL(sent["url"]).path))
            )
    assert len(COMMANDS) == len(re.findall(r"^curl ", GUIDE.read_text(), re.MULTILINE))
    assert used >= {
        ("POST", "/api/v1/mpc/keygen"),
        ("POST", "/api/v1/mpc/sign"),
        ("POST", "/api/v1/accounts/{id}/sign"),
        ("POST", "/api/v1/sessions"),
        ("POST", "/api/v1/sessions/{id}/join"),
        ("GET", "/api/v1/sessions/{id}/events"),
    }


def test_every_path_of_the_guide_exists() -> None:
    paths = set(gateway(DeskDouble()).openapi()["paths"])
    named = set(re.findall(r"(/api/v1/[a-z/{}-]+)`", GUIDE.read_text()))
    gone = {path for row in rows("not there") for path in re.findall(r"`POST (/api/\S+)`", row[0])}
    assert gone == {"/api/v1/shares/generate"}
    assert len(named) >= 10
    assert named - gone <= paths
    assert not gone & paths


def rows(here: str) -> list[tuple[str, str]]:
    """Of the table of all that there was: those that are here in this way, and what instead."""
    table = GUIDE.read_text().split("| what there was |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
    assert {each[1] for each in cells} == {"", "same", "set this", "not there"}
    return [(each[0], each[2]) for each in cells if each[1] == here]


def test_whatever_is_not_as_it_was_says_what_to_do() -> None:
    assert len(rows("not there")) >= 12
    for was, instead in (*rows("not there"), *rows("set this")):
        assert instead, was
    headings = {was for was, _ in rows("")}
    for part in (
        "Specialised",
        "Generic",
        "Share",
        "Message router",
        "gRPC",
        "Ports",
        "Environment",
    ):
        assert any(part in heading for heading in headings)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/v1/shares/generate", {"session_id": "00" * 32}, 404),
        ("/api/v1/accounts", {"user_id": "u", "composition": {"persistent": 2}}, 422),
        ("/api/v1/accounts", {"user_id": "u", "party_composition": {"delegate": 1}}, 422),
        ("/api/v1/mpc/keygen", {"threshold_n": 3, "threshold_t": 2, "composition": {}}, 422),
        ("/api/v1/mpc/keygen", {"thresholdN": 3, "thresholdT": 2}, 422),
        ("/api/v1/mpc/keygen", {"threshold": 2, "threshold_n": 3}, 422),
    ],
)
async def test_what_is_not_there_is_refused_as_the_guide_says(
    path: str, body: dict[str, Any], status: int
) -> None:
    async with calls(gateway(DeskDouble())) as http:
        answer = await http.post(path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_variable_of_the_guide_is_read_somewhere() -> None:
    root = GUIDE.parents[1]
    sources = "".join(
        path.read_text()
        for folder in ("gateway", "contracts", "workers")
        for path in (root / folder).rglob("*.py")
    )
    named = set(re.findall(r"`(WARREN_[A-Z_]+[A-Z])`", GUIDE.read_text()))
    assert len(named) >= 5
    assert not [name for name in named if name not in sources]
    assert "PARTY_ROLE" not in sources


def test_what_the_guide_says_of_a_key_that_is_too_short_is_what_is_refused() -> None:
    section = GUIDE.read_text().split("## A caller's own key that is too short")[1]
    said = re.search(r"has (\d+) characters or more, (\d+) of them different", section)
    assert said is not None
    assert [int(each) for each in said.groups()] == [MIN_CHARACTERS, MIN_DISTINCT]
    random = "k7Q2xZr9Lw4Tn8Vb3Hs6Dj1F"
    assert weakness(random) is None
    for weak in (random[:-1], "ab" * 12, "your-secret-api-key-here"):
        assert weakness(weak) is not None


def test_every_code_of_the_guide_exists() -> None:
    table = GUIDE.read_text().split("| status | `code`")[1]
    rows = re.findall(r"^\| ([0-9, ]+) \| (.*?) \|", table, re.MULTILINE)
    assert len(rows) >= 9
    for statuses, codes in rows:
        for code in re.findall(r"`(\w+)`", codes):
            assert str(KINDS[code].status) in statuses.split(", ")
