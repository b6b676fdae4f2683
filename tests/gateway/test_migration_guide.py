"""The examples of ops/migrate-callers.md, as a caller would type them one after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import httpx

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
    assert len(named) >= 10
    assert named <= paths


def test_every_code_of_the_guide_exists() -> None:
    table = GUIDE.read_text().split("| status | `code`")[1]
    rows = re.findall(r"^\| ([0-9, ]+) \| (.*?) \|", table, re.MULTILINE)
    assert len(rows) >= 9
    for statuses, codes in rows:
        for code in re.findall(r"`(\w+)`", codes):
            assert str(KINDS[code].status) in statuses.split(", ")
