"""The generated documents are those of this code, and hang together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from contracts import addresses, bundles, documents
from contracts.cli import docs
from contracts.failures import FailureCode
from contracts.requests import ADAPTER

from .samples import all_fields

DOCUMENTS = documents.documents()
ASYNCAPI: dict[str, Any] = json.loads(DOCUMENTS["asyncapi.json"])


@pytest.fixture(autouse=True)
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them take half a second."""
    monkeypatch.setattr(documents, "documents", lambda: DOCUMENTS)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolved(document: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        document = document[step]
    return document


def test_the_documents_in_the_tree_are_those_of_this_code() -> None:
    for folder in documents.FOLDERS:
        assert documents.check(folder) == [], "run `warren docs`"


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_reference_resolves(name: str) -> None:
    document = json.loads(DOCUMENTS[name])
    found = list(references(document))
    assert found
    for reference in found:
        assert resolved(document, reference)


def test_every_exchange_queue_and_routing_key_is_documented() -> None:
    channels = ASYNCAPI["channels"].values()
    exchanges = {channel["bindings"]["amqp"]["exchange"]["name"] for channel in channels}
    assert exchanges == {
        addresses.REQUESTS,
        addresses.SESSIONS,
        addresses.ROUNDS,
        addresses.KEYGEN,
        addresses.PRESIGNING,
        addresses.REPORTS,
        addresses.RESULTS,
        addresses.CANCEL,
        addresses.DEAD,
        addresses.UNCLAIMED,
    }
    keys = {channel["address"] for channel in channels}
    for operation in addresses.REQUEST_KEYS:
        for client_id in (None, "{client_id}"):
            assert addresses.request_key(operation, client_id) in keys
            assert (
                addresses.result_key(
                    operation, client_id=client_id, request_id="{request_id}", key_id="{key_id}"
                )
                in keys
            )
    for client_id in (None, "{client_id}"):
        assert addresses.announcement_key(client_id, "{request_id}") in keys
    queues = {channel.get("x-queue") for channel in channels}
    assert {
        addresses.LEGACY_RESULTS_QUEUE,
        addresses.results_queue("{client_id}"),
        addresses.inbox_queue("{party_id}"),
        addresses.REPORTS_QUEUE,
        addresses.DEAD_QUEUE,
    } <= queues


def test_the_asyncapi_document_is_well_formed() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert set(ASYNCAPI["info"]) >= {"title", "version", "description"}
    for name, channel in ASYNCAPI["channels"].items():
        named = set(re.findall(r"{(\w+)}", channel["address"]))
        assert named == set(channel.get("parameters", {})), name
        assert channel["messages"], name
    for name, operation in ASYNCAPI["operations"].items():
        assert operation["action"] in {"send", "receive"}
        own = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(own) for message in operation["messages"]), name
        if "reply" in operation:
            there = operation["reply"]["channel"]["$ref"]
            for message in operation["reply"]["messages"]:
                assert message["$ref"].startswith(there)
    for message in ASYNCAPI["components"]["messages"].values():
        assert message["headers"]["type"] == "object"
    used = {channel["$ref"] for op in ASYNCAPI["operations"].values() for channel in _used(op)}
    assert used == {f"#/channels/{name}" for name in ASYNCAPI["channels"]}


def test_the_asyncapi_document_says_what_a_bundle_is_and_where_one_may_come() -> None:
    message = ASYNCAPI["components"]["messages"]["Bundle"]
    assert message["contentType"] == bundles.CONTENT_TYPE
    schemas = ASYNCAPI["components"]["schemas"]
    parts = schemas["BundleHead"]["properties"]["parts"]
    assert parts["maxItems"] == bundles.MAX_PARTS
    assert parts["items"]["$ref"] == "#/components/schemas/BundlePartHead"
    assert set(schemas["BundlePartHead"]["required"]) == set(bundles.PartHead.model_fields)
    assert schemas["BundleHead"]["required"] == ["version", "parts"]
    at = {name for name, each in ASYNCAPI["channels"].items() if "Bundle" in each["messages"]}
    reports = {name for name in ASYNCAPI["channels"] if name.startswith("reports.")}
    assert at == {"sessions", "rounds", "keygen", "presigning", "results.bundled", *reports}


def _used(operation: dict[str, Any]) -> list[dict[str, str]]:
    return [
        operation["channel"],
        *([operation["reply"]["channel"]] if "reply" in operation else []),
    ]


def test_a_requests_signature_header_is_required() -> None:
    for model in ("KeygenRequest", "SignRequest", "CancelRequest"):
        headers = ASYNCAPI["components"]["messages"][model]["headers"]
        assert headers["required"] == ["signature"]


@pytest.mark.parametrize("operation", list(addresses.REQUEST_KEYS))
def test_the_schema_has_exactly_the_fields_of_a_request(operation: str) -> None:
    schema = json.loads(DOCUMENTS["request.json"])
    model = resolved(schema, schema["discriminator"]["mapping"][operation])
    body = json.loads(ADAPTER.dump_json(ADAPTER.validate_python(all_fields(operation))))
    assert set(model["properties"]) == set(body)
    assert "operation" in model["required"]
    assert model["additionalProperties"] is False
    for name, value in body.items():
        pattern = model["properties"][name].get("pattern")
        if pattern is not None:
            assert re.search(pattern, value), name


def test_writing_repairs_what_checking_finds(tmp_path: Path) -> None:
    names = sorted(DOCUMENTS)
    assert documents.write(tmp_path) == names
    assert documents.check(tmp_path) == []
    (tmp_path / "request.json").write_text("{}")
    (tmp_path / "result.json").unlink()
    (tmp_path / "stray.json").write_text("{}")
    assert documents.check(tmp_path) == ["request.json", "result.json", "stray.json"]
    assert documents.write(tmp_path) == ["request.json", "result.json", "stray.json"]
    assert documents.write(tmp_path) == []


def test_the_command_tells_and_repairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "FOLDERS", {tmp_path: documents.documents})
    app = typer.Typer()
    app.command()(docs)
    run = CliRunner().invoke
    stale = run(app, ["--check"])
    assert stale.exit_code == 1
    assert "stale" in stale.output
    assert not list(tmp_path.iterdir())
    assert run(app, []).exit_code == 0
    assert run(app, ["--check"]).exit_code == 0


def test_the_glossary_knows_every_failure_code() -> None:
    glossary = (documents.FOLDER.parent / "GLOSSARY.md").read_text()
    for code in FailureCode:
        row = re.search(rf"^\| `{code}` \| (yes|no) ", glossary, re.MULTILINE)
        assert row is not None, code
        assert (row[1] == "yes") == code.retryable, code
