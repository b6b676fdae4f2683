"""What cannot be migrated, and is told so before anything changes. Without a broker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from topology.migration import findings as module
from topology.migration.findings import Findings, look, policies, refusals
from topology.migration.parts import Parts
from topology.migration.record import Record
from topology.model import Binding, Exchange, Found, Policy, Queue, Topology

OLD = Queue(name="jobs", type="classic")
NEW = Queue(name="jobs")
PARTS = Parts("jobs", "jobs")


def _found(*more: Any, operators: tuple[Policy, ...] = ()) -> Found:
    basic = (Exchange(name="work", type="topic"), OLD, Binding(source="work", destination="jobs"))
    return Found(
        vhost="v",
        vhost_exists=True,
        topology=Topology.of([*basic, *more]),
        owned=frozenset(),
        depths={},
        operator_policies=operators,
    )


def _findings(*more: Any, told: dict[str, Any] | None = None, **others: Any) -> Findings:
    return Findings(found=_found(*more), told={"type": "classic", **(told or {})}, **others)


def _policy(pattern: str, **definition: int) -> Policy:
    return Policy(
        name="wide",
        pattern=pattern,
        applies_to="queues",
        definition=tuple(sorted((key.replace("_", "-"), v) for key, v in definition.items())),
        priority=0,
    )


def _queue(name: str, exchange: str, key: str | None = None, *, by: str = "arguments") -> Any:
    x = "x-" if by == "arguments" else ""
    settings = {f"{x}dead-letter-exchange": exchange}
    if key is not None:
        settings[f"{x}dead-letter-routing-key"] = key
    return {"name": name, by: settings}


def test_an_ordinary_queue_is_not_refused() -> None:
    assert list(refusals(_findings(), PARTS, NEW, pause=True)) == []


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        (_findings(told={"exclusive": True}), "exclusive"),
        (_findings(told={"auto_delete": True}), "deletes itself"),
        (_findings(told={"type": "stream"}), "is a stream"),
        (_findings(told={"incoming": [{"exchange": {"name": ""}}]}), "default exchange"),
        (_findings(deaf=("bob (c1)",)), "bob (c1)"),
        (_findings(unconfirmed=("eve (c2)",)), "eve (c2)"),
        (
            _findings(
                Exchange(name="ring", type="x-consistent-hash"),
                Binding(source="ring", destination="jobs", key="1"),
            ),
            "x-consistent-hash",
        ),
        (_findings(all_queues=(_queue("jobs", "work"),)), "has itself for its dead letters"),
        (_findings(all_queues=(_queue("jobs", "", "jobs"),)), "has itself"),
        (
            _findings(all_queues=(_queue("jobs", "work", by="effective_policy_definition"),)),
            "has itself",
        ),
        (_findings(all_queues=(_queue("retry", "", "jobs"),)), "queue retry sends its dead"),
        (_findings(_policy("^jobs", expires=5)), "policy wide would hold"),
        (_findings(_policy("", message_ttl=5)), "message-ttl"),
        (
            Findings(
                found=_found(operators=(_policy(".*", max_length=5),)), told={"type": "classic"}
            ),
            "operator policy wide",
        ),
    ],
)
def test_what_would_lose_or_double_messages_is_refused(findings: Findings, said: str) -> None:
    (reason,) = refusals(findings, PARTS, NEW, pause=True)
    assert said in reason


def test_its_dead_letters_may_go_to_others() -> None:
    elsewhere = (_queue("jobs", "dead"), _queue("jobs", "", "bin"), _queue("retry", "work"))
    for queue in elsewhere:
        assert not list(refusals(_findings(all_queues=(queue,)), PARTS, NEW, pause=True))


def test_without_a_pause_nobody_has_to_confirm() -> None:
    findings = _findings(unconfirmed=("eve (c2)",))
    assert not list(refusals(findings, PARTS, NEW, pause=False))


def test_a_queue_that_is_as_declared_needs_nothing() -> None:
    (reason,) = refusals(_findings(), PARTS, OLD, pause=True)
    assert "nothing to change" in reason


def test_the_new_name_must_be_free() -> None:
    parts = Parts("jobs", "jobs.v2")
    (reason,) = refusals(_findings(Queue(name="jobs.v2")), parts, Queue(name="jobs.v2"), pause=True)
    assert "is there already" in reason


def test_a_name_needs_room_for_what_stands_beside_it() -> None:
    parts = Parts("j" * 240, "jobs")
    reasons = list(refusals(_findings(), parts, NEW, pause=True))
    assert any("leaves no room" in reason for reason in reasons)


def test_both_queues_have_their_policy_as_long_as_there_are_both() -> None:
    existing = replace(_policy("^jobs$", max_length=5), name="p")
    declared = replace(_policy(r"^jobs\.v2$", max_length=7), name="p")
    new = Queue(name="jobs.v2")
    made = policies([declared], [existing], new=new, old=OLD)
    (before,) = made.before
    assert before.covers(OLD)
    assert before.covers(new)
    assert before.definition == declared.definition
    assert made.after == (declared,)


def test_policies_that_are_as_declared_stay_as_they_are() -> None:
    policy = _policy("^jobs$", max_length=5)
    made = policies([policy], [policy], new=NEW, old=OLD)
    assert made.before == made.after == ()


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = Record(
        old="jobs",
        new=Queue(name="jobs", arguments=(("x-single-active-consumer", True),)),
        bindings=(Binding(source="work", destination="jobs", key="a", arguments=(("n", 1),)),),
        done=("prepare",),
        nodes={"rabbit@a": ("12", 1000.5)},
        moved=3,
        distrusted=1,
    )
    assert Record.of(record.as_json()) == record


@pytest.mark.parametrize(
    ("now", "trusted"),
    [
        ({"a": ("1", 100.3), "b": ("2", 50.0), "c": ("3", 400.0)}, True),
        ({"a": ("1", 130.0), "b": ("2", 50.0)}, False),  # the same process id, later
        ({"a": ("7", 100.0), "b": ("2", 50.0)}, False),
        ({"a": ("1", 100.0)}, False),
    ],
)
def test_copies_are_trusted_while_no_node_was_lost(
    now: dict[str, tuple[str, float]], trusted: bool
) -> None:
    record = Record(old="jobs", new=NEW, bindings=(), nodes={"a": ("1", 100.0), "b": ("2", 50.0)})
    assert record.trusts(now) is trusted


class ScriptedManagement:
    """Answers about one queue as the broker does while a consumer's channel is not known yet."""

    def __init__(self, *consumers: list[dict[str, Any]], able: bool = True) -> None:
        self.consumers = list(consumers)
        self.able = able

    async def get(self, path: str, *names: str, missing_ok: bool = False) -> Any:
        match path:
            case "queues/{}/{}":
                told = self.consumers.pop(0) if len(self.consumers) > 1 else self.consumers[0]
                return {"name": names[1], "consumer_details": told}
            case "connections/{}":
                able = {"consumer_cancel_notify": True} if self.able else []
                return {"client_properties": {"capabilities": able}}
            case _:
                return []


NOT_KNOWN_YET: list[dict[str, Any]] = [{"consumer_tag": "t1", "channel_details": []}]
KNOWN: list[dict[str, Any]] = [
    {"consumer_tag": "t1", "channel_details": {"connection_name": "c1", "user": "bob"}}
]


@pytest.mark.parametrize(
    ("told", "able", "deaf"),
    [
        pytest.param([NOT_KNOWN_YET, KNOWN], True, (), id="known a moment later"),
        pytest.param([NOT_KNOWN_YET, KNOWN], False, ("bob (c1)",), id="a moment later, and deaf"),
        pytest.param([NOT_KNOWN_YET, []], True, (), id="gone a moment later"),
        pytest.param(
            [NOT_KNOWN_YET], True, ("? (consumer t1, of no known connection)",), id="never known"
        ),
    ],
)
async def test_a_consumer_whose_channel_the_broker_does_not_tell_is_asked_for_again(
    told: Any, able: bool, deaf: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ASKED_EVERY_S", 0.0)
    management: Any = ScriptedManagement(*told, able=able)
    assert (await look(management, _found(), "jobs")).deaf == deaf
