"""The AsyncAPI 3.0 document: every exchange, routing key, queue and message.

Names come from `addresses`, messages from the models; only what neither knows is written here.
"""

from __future__ import annotations

import re
from typing import Any

from . import addresses, bundles, envelope
from .coordinators import RESULT_TAG
from .json_schema import component_schemas, members
from .operations import OPERATIONS
from .primitives import ID_PATTERN, MAX_BODY_BYTES, VERSION
from .results import SessionAnnounced

_INTRODUCTION = f"""\
Threshold signatures over RabbitMQ. Producers publish signed requests to `{addresses.REQUESTS}`
and consume one queue of results. Operations are told from the side of the role in their tag.

**Requests are signed.** The body is JSON and holds everything. The header `signature` is the
base64 of a DER ECDSA-P256-SHA256 signature over `pack("warren/request/v1", body)`, where `pack`
puts each part behind its length as 4 big-endian bytes, and `body` is the bytes as sent. `signer`
in the body is the public key, base64 of DER SubjectPublicKeyInfo; parties and coordinator know
which client may use it. Headers and properties repeat fields of the body for routing and tracing;
one that contradicts the body makes the message a dead letter. At most {MAX_BODY_BYTES} bytes.

**Idempotent.** The same `request_id` with the same bytes is the same request, and its result is
sent again; with other bytes the answer is `conflict`. Publish with confirms, persistent,
`mandatory`; after a lost connection publish the same bytes again.

**Results are to be verified.** Coordinator and broker are not trusted: a key counts when the
certificate of every one of its parties verifies under an identity that the producer has pinned, a
signature when it verifies under such a key. A result may come twice.

**Ids** of clients, requests, keys and parties match `{ID_PATTERN}` and are compared exactly.
A producer without a client id has the result addresses with one word less.

**Messages may come in bundles.** Workers send each other what waits for the same queue as one
message of content type `{bundles.CONTENT_TYPE}`. A producer gets signatures so only if its request
names the `reply_to` `{addresses.bundled_key("<client id>")}`, as only who reads its queue alone
should: a bundle is acknowledged as a whole. Its parts are verified each as if it had come alone.

**A session may be announced.** A request with `announce` is answered by a `session_announced`
before its result, on the same queue. It says how the session can be asked for, and proves nothing.
"""

_ENVELOPE = """\
`pack(content, signature)`, where content is `pack(session_id, epoch, kind, round, sender,
recipient, payload)`: 32 bytes, 4 bytes, text, 1 byte, text, text, bytes. The signature is the
sender's ECDSA-P256-SHA256 over `pack("warren/envelope/v1", content)`."""

_ID = {"type": "string", "pattern": ID_PATTERN}
_HEX32 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def asyncapi_document() -> dict[str, Any]:
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for operation, row in OPERATIONS.items():
        asked, answered = row.request.__name__, row.result.__name__
        for suffix, client_id in ("", "{client_id}"), (".legacy", None):
            channels[f"requests.{operation}{suffix}"] = _channel(
                addresses.REQUESTS, "topic", addresses.request_key(operation, client_id), asked
            )
            channels[f"results.{operation}{suffix}"] = _channel(
                addresses.RESULTS,
                "topic",
                addresses.result_key(
                    operation, client_id=client_id, request_id="{request_id}", key_id="{key_id}"
                ),
                answered,
                queue=addresses.results_queue(client_id),
            )
            operations[f"{operation}{suffix}"] = _operation(
                "producer", "send", f"requests.{operation}{suffix}", asked
            ) | {
                "reply": {
                    "channel": {"$ref": f"#/channels/results.{operation}{suffix}"},
                    "messages": [_message_of(f"results.{operation}{suffix}", answered)],
                }
            }
    announcement = SessionAnnounced.__name__
    for suffix, client_id in ((".announced", "{client_id}"), (".announced.legacy", None)):
        channels[f"results{suffix}"] = _channel(
            addresses.RESULTS,
            "topic",
            addresses.announcement_key(client_id, "{request_id}"),
            announcement,
            queue=addresses.results_queue(client_id),
        )
        operations[f"producer.receive.results{suffix}"] = _operation(
            "producer", "receive", f"results{suffix}", announcement
        )
    channels["results.bundled"] = _channel(
        addresses.RESULTS,
        "topic",
        addresses.bundled_key("{client_id}"),
        "SignResult",
        "Bundle",
        queue=addresses.results_queue("{client_id}"),
    )
    operations["producer.receive.results.bundled"] = _operation(
        "producer", "receive", "results.bundled", "SignResult", "Bundle"
    )
    for name, channel, told in _internal_channels():
        channels[name] = channel
        for role, action in told:
            operations[f"{role}.{action}.{name}"] = _operation(
                role, action, name, *channel["messages"]
            )
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Warren", "version": f"{VERSION}", "description": _INTRODUCTION},
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "broker.example:5671",
                "protocol": "amqps",
                "protocolVersion": "0-9-1",
                "pathname": "/warren",
                "description": "RabbitMQ 3.10 or later. Exchanges, queues, bindings and policies "
                "are declared by `warren topology apply`, by nobody else.",
                "security": [{"$ref": "#/components/securitySchemes/user"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": _messages(),
            "schemas": {
                "Envelope": _envelope_schema(),
                "Bundle": _bundle_schema(),
                **_bundle_head_schemas(),
                **component_schemas(),
            },
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "A producer's user may write to "
                    f"`{addresses.REQUESTS}` and read its own results queue, nothing else. The "
                    "property `user_id`, where set, must be this user.",
                }
            },
        },
    }


def _internal_channels() -> list[tuple[str, dict[str, Any], list[tuple[str, str]]]]:
    """Name, channel, and who does what with it, of everything between coordinator and parties."""
    instructions = members("instruction")
    presign_batch = instructions.pop("presign_batch")
    created = instructions["session_created"]
    return [
        (
            "sessions",
            _channel(
                addresses.SESSIONS,
                "direct",
                "{party_id}",
                *instructions.values(),
                "Bundle",
                queue=addresses.inbox_queue("{party_id}"),
            ),
            [("coordinator", "send"), ("party", "receive")],
        ),
        (
            "rounds",
            _channel(
                addresses.ROUNDS,
                "direct",
                "{party_id}",
                "Envelope",
                "Bundle",
                queue=addresses.inbox_queue("{party_id}"),
            ),
            [("party", "send"), ("party", "receive")],
        ),
        (
            "keygen",
            _channel(
                addresses.KEYGEN,
                "direct",
                "{party_id}",
                created,
                "Envelope",
                "Bundle",
                queue=addresses.keygen_queue("{party_id}"),
            ),
            [("coordinator", "send"), ("party", "send"), ("party", "receive")],
        ),
        (
            "presigning",
            _channel(
                addresses.PRESIGNING,
                "direct",
                "{party_id}",
                presign_batch,
                "Envelope",
                "Bundle",
                queue=addresses.presigning_queue("{party_id}"),
            ),
            [("coordinator", "send"), ("party", "send"), ("party", "receive")],
        ),
        *(
            (
                f"reports.{event}",
                _channel(
                    addresses.REPORTS,
                    "topic",
                    addresses.report_key(event, "{party_id}"),
                    model,
                    "Bundle",
                    queue=addresses.REPORTS_QUEUE,
                ),
                [("party", "send"), ("coordinator", "receive")],
            )
            for event, model in members("report").items()
        ),
        (
            "cancel",
            _channel(addresses.CANCEL, "fanout", "", "SessionCancelled"),
            [("coordinator", "send"), ("worker", "receive")],
        ),
        (
            "dead",
            _channel(addresses.DEAD, "topic", "#", "DeadLetter", queue=addresses.DEAD_QUEUE),
            [("operator", "receive")],
        ),
        (
            "unclaimed",
            _channel(
                addresses.UNCLAIMED,
                "fanout",
                "",
                *members("result").values(),
                queue=addresses.UNCLAIMED,
            ),
            [("operator", "receive")],
        ),
    ]


def _channel(
    exchange: str, kind: str, routing_key: str, *messages: str, queue: str | None = None
) -> dict[str, Any]:
    """
    Arguments:
        queue: The one that is bound for this; None where it has no fixed name.
    """
    parameters = {
        name: {"description": f"matches `{ID_PATTERN}`"}
        for name in re.findall(r"{(\w+)}", routing_key)
    }
    return {
        "address": routing_key,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        **({"parameters": parameters} if parameters else {}),
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange,
                    "type": kind,
                    "durable": True,
                    "autoDelete": False,
                    "vhost": "warren",
                },
                "bindingVersion": "0.3.0",
            }
        },
        **({"x-queue": queue} if queue else {}),
    }


def _operation(role: str, action: str, channel: str, *messages: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [_message_of(channel, name) for name in messages],
        "tags": [{"name": role}],
        "bindings": {
            "amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}
            if action == "send" and channel != "cancel"
            else {"ack": True, "bindingVersion": "0.3.0"}
        },
    }


def _message_of(channel: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{channel}/messages/{name}"}


def _messages() -> dict[str, Any]:
    messages: dict[str, Any] = {}
    for operation, row in OPERATIONS.items():
        for model, headers in (
            (row.request.__name__, _request_headers()),
            (row.result.__name__, _result_headers()),
        ):
            messages[model] = _message(operation, model, headers)
    announcement = SessionAnnounced.__name__
    messages[announcement] = _message(
        "session_announced",
        announcement,
        _result_headers(),
    )
    for instruction, model in members("instruction").items():
        messages[model] = _in_envelope(instruction, model)
    for event, model in members("report").items():
        messages[model] = _in_envelope(event, model)
    messages["Envelope"] = _envelope_message(
        "A round message of a protocol, a report, or an instruction."
    )
    messages["Bundle"] = {
        "name": bundles.KIND,
        "description": "Several messages of the same exchange and routing key.",
        "contentType": bundles.CONTENT_TYPE,
        "headers": _headers(),
        "payload": {"$ref": "#/components/schemas/Bundle"},
        "bindings": {"amqp": {"messageType": bundles.KIND, "bindingVersion": "0.3.0"}},
    }
    messages["DeadLetter"] = {
        "description": "Any message that nobody could handle, as it was. RabbitMQ's header "
        "`x-death` has the queue and the broker's reason, `warren-reason` a worker's.",
        "headers": _headers(**{"warren-reason": {"type": "string"}}),
    }
    return dict(sorted(messages.items()))


def _message(name: str, model: str, headers: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": "application/json",
        "headers": headers,
        "payload": {"$ref": f"#/components/schemas/{model}"},
        "bindings": {"amqp": {"messageType": name, "bindingVersion": "0.3.0"}},
    }


def _in_envelope(name: str, model: str) -> dict[str, Any]:
    return {
        **_envelope_message(f"A signed envelope whose payload is the JSON of `{model}`."),
        "name": name,
        "x-payload": {"$ref": f"#/components/schemas/{model}"},
    }


def _envelope_message(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "contentType": envelope.CONTENT_TYPE,
        "headers": _headers(session_id=_HEX32),
        "payload": {"$ref": "#/components/schemas/Envelope"},
    }


def _envelope_schema() -> dict[str, Any]:
    return {
        "type": "string",
        "format": "binary",
        "maxLength": envelope.MAX_ENVELOPE_BYTES,
        "description": _ENVELOPE,
    }


def _bundle_schema() -> dict[str, Any]:
    return {
        "type": "string",
        "format": "binary",
        "maxLength": bundles.MAX_BYTES,
        "description": "The length of the head as 4 big-endian bytes, the head (JSON, "
        "`BundleHead`), and the bodies of its parts one behind the other.",
    }


def _bundle_head_schemas() -> dict[str, Any]:
    schema = bundles.Head.model_json_schema(ref_template="#/components/schemas/Bundle{model}")
    parts = schema.pop("$defs")
    schema["required"] = ["version", "parts"]
    return {"BundleHead": schema, **{f"Bundle{name}": part for name, part in parts.items()}}


def _request_headers() -> dict[str, Any]:
    headers = _headers(
        signature={
            "type": "string",
            "contentEncoding": "base64",
            "description": "DER ECDSA-P256-SHA256 by `signer` over the body as sent.",
        },
        operation={"type": "string"},
        request_id=_ID,
        client_id=_ID,
    )
    return {**headers, "required": ["signature"]}


def _result_headers() -> dict[str, Any]:
    headers = _headers(
        signature={
            "type": "string",
            "contentEncoding": "base64",
            "description": "DER ECDSA-P256-SHA256 by the coordinator over the pack of "
            f"`{RESULT_TAG.decode()}` and the body as sent.",
        },
        request_id=_ID,
        client_id=_ID,
        session_id=_HEX32,
        status={"type": "string"},
    )
    return {**headers, "required": ["signature"]}


def _headers(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}
