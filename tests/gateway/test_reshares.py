"""Other shares of a key: what each dialect takes and tells, before a desk that is a double."""

from __future__ import annotations

import json
from typing import Any, cast

import httpx
import pytest

from contracts.client import Client
from contracts.failures import Failure, FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Scope
from contracts.requests import MAX_EPOCHS_AHEAD
from contracts.results import ReshareResult
from gateway.entry.api_keys import Caller
from gateway.metrics import CountingDesk, Metrics
from gateway.opening import NewShares
from gateway.problems import Problem
from tests.contracts.samples import session_view

from .callers import calls, gateway
from .coordinators import ClientDouble, Coordinator
from .desks import DeskDouble
from .test_accounts import ACCOUNTS
from .test_events import parsed, stream
from .test_generic import SESSIONS
from .test_mpc import DIGEST, made_key, refused

RESHARE = "/api/v1/mpc/reshare"
OTHERS = [{"party_id": name} for name in ("server-party-1", "party-2", "party-4")]


async def reshared(http: httpx.AsyncClient, **wish: Any) -> dict[str, Any]:
    """Waited for."""
    answer = await http.post(f"{RESHARE}?wait=5", json=wish)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def account(http: httpx.AsyncClient) -> str:
    made = (await http.post(f"{ACCOUNTS}?wait=5", json={"user_id": "alice"})).json()
    return str(made["account_id"])


def failing(messages: dict[str, Any]) -> dict[str, str]:
    """Field -> sentence, of a problem."""
    return {each["field"].rsplit(".", 1)[1]: each["message"] for each in messages["errors"]}


###
### What is taken
###


async def test_nothing_but_the_key_is_a_refresh() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        told = await reshared(http, key_id=await made_key(http))
    asked = desk.asked[-1]
    assert asked["parties"] == ["party-1", "party-2", "party-3"]
    assert (asked["threshold"], asked["first_epoch"], asked["tries"]) == (2, 1, 3)
    assert (asked["named"], asked["join_window_ms"]) == (None, None)
    assert (told["threshold_n"], told["threshold_t"]) == (3, 2)
    assert told["session_type"] == "reshare"


async def test_others_are_named_as_the_caller_names_them() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        told = await reshared(
            http,
            key_id=await made_key(http),
            threshold_n=3,
            threshold_t=3,
            participants=OTHERS,
            dealers=["party-2", "server-party-3"],
            first_epoch=7,
            tries=8,
        )
    asked = desk.asked[-1]
    assert asked["parties"] == ["party-1", "party-2", "party-4"]
    assert (asked["threshold"], asked["first_epoch"], asked["tries"]) == (3, 7, 8)
    assert asked["named"] == ["party-2", "party-3"]
    assert set(told["join_tokens"]) == {"server-party-1", "party-2", "server-party-3", "party-4"}
    assert (told["threshold_n"], told["threshold_t"]) == (3, 3)
    made = told["result"]
    assert (made["from_epoch"], made["epoch"]) == (0, 7)
    assert (made["threshold_n"], made["threshold_t"]) == (3, 3)
    assert made["parties"] == ["server-party-1", "party-2", "party-4"]
    assert made["dealers"] == ["party-2", "server-party-3"]
    assert (made["shown_out"], made["deletions_needed"]) == (["server-party-3"], 2)
    assert made["signs_from"] == "2025-11-21T06:14:30.000Z"
    assert made["bundle"]["key"] == made["certified_key"]
    assert made["bundle"]["predecessor"]["facts"]["epoch"] == 0


async def test_an_account_and_the_generic_dialect_do_the_same() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        name = await account(http)
        (await http.post(f"{ACCOUNTS}/{name}/reshare?wait=5", json={})).raise_for_status()
        by_id = {"account_id": name, "participants": OTHERS}
        (await http.post(f"{RESHARE}?wait=5", json=by_id)).raise_for_status()
        generic = {"type": "reshare", "key_id": name, "threshold_t": 3}
        told = (await http.post(f"{SESSIONS}?wait=5", json=generic)).json()
    assert [each["join_window_ms"] for each in desk.asked[1:]] == [None, None, 1000]
    assert len(told["join_token"]) == 64
    assert (told["result"]["epoch"], told["result"]["threshold_t"]) == (3, 3)
    assert told["result"]["parties"] == ["server-party-1", "server-party-2", "party-4"]


async def test_reads_show_the_shares_as_they_are_now() -> None:
    async with calls(gateway(DeskDouble())) as http:
        name = await account(http)
        looked = [
            (await http.get(path)).json() for path in (f"/api/v1/keys/{name}", f"{ACCOUNTS}/{name}")
        ]
        assert [each["epoch"] for each in looked] == [0, 0]
        made = await reshared(http, key_id=name, participants=OTHERS, threshold_t=3)
        for path in (f"/api/v1/keys/{name}", f"{ACCOUNTS}/{name}"):
            now = (await http.get(path)).json()
            assert (now["epoch"], now["threshold_n"], now["threshold_t"]) == (1, 3, 3)
            assert now["parties"] == ["server-party-1", "server-party-2", "party-4"]
            assert now["public_key"] == looked[0]["public_key"]
            assert (
                now.get("certified_key", made["result"]["certified_key"])
                == (made["result"]["certified_key"])
            )


###
### What is refused
###


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"threshold_n": 4}, "threshold_n", "is 3 for this key, and you say 4"),
        ({"threshold_t": 4}, "threshold_t", "4 would have to sign, and 3 shall hold a share"),
        ({"participants": OTHERS[:1]}, "participants", "at least 2"),
        ({"threshold_t": 1}, "threshold_t", "2"),
        ({"threshold_t": 21}, "threshold_t", "20"),
        ({"threshold_t": "2"}, "threshold_t", "integer"),
        ({"threshold_t": True}, "threshold_t", "integer"),
        ({"dealers": ["party-1"]}, "dealers", "names 1, and exactly 2 deal"),
        ({"dealers": ["party-1", "party-2", "party-3"]}, "dealers", "names 3, and exactly 2"),
        ({"dealers": ["party-1", "server-party-1"]}, "dealers", "names the party server-party-1"),
        ({"dealers": [{"party_id": "party-1"}, "party-2"]}, "0", "string"),
        ({"participants": [*OTHERS, OTHERS[0]]}, "participants", "twice"),
        ({"participants": [{"party_id": "a b"}, OTHERS[0]]}, "participants", "no party's name"),
        ({"participants": ["party-1", "party-2"]}, "0", "object"),
        ({"first_epoch": 0}, "first_epoch", "1"),
        ({"first_epoch": 2**32}, "first_epoch", "4294967296"),
        ({"first_epoch": MAX_EPOCHS_AHEAD}, "first_epoch", "must be 1 to 62 with 3 tries"),
        ({"first_epoch": 1.5}, "first_epoch", "integer"),
        ({"tries": 0}, "tries", "1"),
        ({"tries": 9}, "tries", "8"),
        ({"tries": None}, "tries", "integer"),
    ],
)
async def test_what_does_not_fit_is_named(changes: dict[str, Any], field: str, said: str) -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        wish = {"key_id": await made_key(http), **changes}
        problem = json.loads(await refused(http, RESHARE, wish))
    assert problem["code"] == "invalid_request"
    assert said in failing(problem)[field]
    assert len(desk.asked) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold_n": 2, "participants": OTHERS}, "names 3 parties and threshold_n is 2"),
        ({"threshold_t": 4, "participants": OTHERS}, "threshold_t 4 is more than threshold_n 3"),
        ({"threshold_t": 4, "threshold_n": 3}, "threshold_t 4 is more than threshold_n 3"),
        ({"account_id": "a"}, "either account_id or key_id"),
        ({"curve": "ed25519"}, "is no field here"),
        ({"thresholdT": 2}, "do you mean threshold_t?"),
    ],
)
async def test_fields_that_do_not_go_together_are_refused(
    changes: dict[str, Any], said: str
) -> None:
    async with calls(gateway(DeskDouble())) as http:
        assert said in await refused(http, RESHARE, {"key_id": await made_key(http), **changes})


async def test_a_committee_too_small_for_the_threshold_says_which_number_is_missing() -> None:
    async with calls(gateway(DeskDouble())) as http:
        key_id = await made_key(http, threshold_t=3)
        wish = {"key_id": key_id, "participants": OTHERS[:2]}
        said = failing(json.loads(await refused(http, RESHARE, wish)))
        assert "3 would have to sign as now, and 2 shall hold a share" in said["threshold_t"]
        await reshared(http, **wish, threshold_t=2)


@pytest.mark.parametrize(
    ("field", "instead"),
    [
        ("node_ids", "send participants"),
        ("new_threshold", "send threshold_t, which is how many sign: new_threshold + 1"),
        ("newThreshold", "new_threshold + 1"),
        ("threshold", "send threshold_t"),
        ("wallet_id", "key_id or account_id"),
        ("key_type", "stays on its curve"),
        ("session_id", "send the header Idempotency-Key"),
    ],
)
@pytest.mark.parametrize("dialect", ["mpc", "account", "generic"])
async def test_another_services_words_are_told_apart(
    field: str, instead: str, dialect: str
) -> None:
    async with calls(gateway(DeskDouble())) as http:
        name = await account(http)
        path, wish = {
            "mpc": (RESHARE, {"key_id": name}),
            "account": (f"{ACCOUNTS}/{name}/reshare", {}),
            "generic": (SESSIONS, {"key_id": name, "session_type": "reshare"}),
        }[dialect]
        said = failing(json.loads(await refused(http, path, {**wish, field: 1})))
    assert said[field].startswith("is no field here: ")
    assert instead in said[field]


async def test_what_the_coordinator_refuses_keeps_its_code() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        stranger = [*OTHERS, {"party_id": "party-9"}]
        said = await refused(http, RESHARE, {"key_id": key_id, "participants": stranger})
        assert "unknown_party" in said
        assert "unknown_key" in await refused(http, RESHARE, {"key_id": "nobodys"}, 404)
        assert "unknown_key" in await refused(http, f"{ACCOUNTS}/nobodys/reshare", {}, 404)
        (await http.post(RESHARE, json={"key_id": key_id, "tries": 1})).raise_for_status()
        said = await refused(http, RESHARE, {"key_id": key_id, "tries": 1})
        assert "first_epoch must be later" in said
        desk.failing = Failure.of(FailureCode.STALE_EPOCH, "party-3 knows it by epoch 4")
        told = await reshared(http, key_id=key_id)
    assert (told["status"], told["failure"]["code"]) == ("failed", "stale_epoch")
    assert told["failure"]["retryable"] is True


@pytest.mark.parametrize("path", [RESHARE, f"{ACCOUNTS}/a/reshare", SESSIONS])
async def test_the_right_has_to_be_named(path: str) -> None:
    """All other scopes together do not bring it."""
    wish = {} if path.startswith(ACCOUNTS) else {"key_id": "a"}
    if path == SESSIONS:
        wish["session_type"] = "reshare"
    desk, caller = DeskDouble(), Caller("k", "alice", frozenset(Scope) - {Scope.RESHARE})
    async with calls(gateway(desk), caller) as http:
        said = json.loads(await refused(http, path, wish, 403))
    assert said["code"] == "scope_missing"
    assert "lacks the scope reshare" in said["detail"]
    assert not desk.asked


###
### Once, and what goes on meanwhile
###


async def test_a_repetition_is_the_same_session_though_the_key_has_gone_on() -> None:
    desk = DeskDouble()
    headers = {"Idempotency-Key": "only-once"}
    async with calls(gateway(desk)) as http:
        # Two dealers do not fit the key any more when it comes again.
        wish = {
            "key_id": await made_key(http),
            "threshold_t": 3,
            "dealers": ["party-1", "party-3"],
        }
        first = await http.post(f"{RESHARE}?wait=5", json=wish, headers=headers)
        again = await http.post(RESHARE, json=wish, headers=headers)
        other = await http.post(RESHARE, json={**wish, "tries": 1}, headers=headers)
    assert again.status_code == 201
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert (again.json()["threshold_n"], again.json()["threshold_t"]) == (3, 3)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len(desk.asked) == 2


async def test_who_signs_while_both_epochs_do_is_the_coordinators_to_say() -> None:
    """The former two still sign for a while, and the new three later: neither is refused here."""
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        await reshared(http, key_id=key_id, threshold_t=3)
        for parties in (["party-1", "party-2"], ["party-1", "party-2", "party-3"]):
            wish = {"key_id": key_id, "message_hash": DIGEST.hex(), "parties": parties}
            (await http.post("/api/v1/mpc/sign", json=wish)).raise_for_status()
            assert desk.asked[-1]["signers"] == parties


async def test_a_reshare_is_followed_with_its_epochs_and_who_is_missing() -> None:
    async with calls(gateway(DeskDouble())) as http:
        wish = {"key_id": await made_key(http), "participants": OTHERS}
        begun = (await http.post(RESHARE, json=wish)).json()
        told = [
            json.loads(each["data"])
            for each in parsed((await stream(http, begun["session_id"])).text)
        ]
    seen = [each["reshare"] for each in told]
    assert all((each["from_epoch"], each["to_epoch"], each["tries"]) == (0, 1, 1) for each in seen)
    names = ["server-party-1", "server-party-2", "party-4"]
    assert [each["missing"] for each in seen[:4]] == [names, names[1:], names[2:], []]
    assert seen[-1]["missing"] == []
    assert [each["name"] for each in told[-1]["progress"]] == ["joined", "certified"]
    assert told[-1]["result"]["epoch"] == 1


async def test_of_a_failed_one_those_are_missing_who_were_waited_for() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        desk.failing = Failure.of(FailureCode.EXPIRED, "too late", silent=["party-3"])
        told = await reshared(http, key_id=key_id)
        looked = (await http.get(f"{SESSIONS}/{told['session_id']}")).json()
    assert looked["reshare"]["missing"] == ["server-party-3"]
    assert (looked["failure"]["code"], looked["failure"]["silent"]) == (
        "expired",
        ["server-party-3"],
    )


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ({}, None),
        ({"from_epoch": 1}, None),
        ({"from_epoch": "1", "epoch": 2}, None),
        ({"from_epoch": 1, "epoch": 2, "try": "second"}, None),
        ({"from_epoch": 1, "epoch": 2}, (1, 2, 1, None)),
        ({"from_epoch": 1, "epoch": 3, "try": 2, "after": "silence"}, (1, 3, 2, "silence")),
    ],
)
async def test_what_a_coordinator_tells_of_epochs_is_not_taken_for_granted(
    details: dict[str, Any], shown: tuple[Any, ...] | None
) -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        begun = (await http.post(RESHARE, json={"key_id": await made_key(http)})).json()
        running = desk.tenants["alice"].sessions[bytes.fromhex(begun["session_id"])]
        events = [running.view.events[0].model_copy(update={"details": details})]
        running.view = running.view.model_copy(update={"events": events})
        told = (await http.get(f"{SESSIONS}/{begun['session_id']}")).json().get("reshare")
    if shown is None:
        assert told is None
    else:
        names = ("from_epoch", "to_epoch", "tries", "after")
        assert tuple(told.get(name) for name in names) == shown


###
### The desk
###


async def test_a_desk_asks_for_the_key_as_it_is_and_counts_what_comes_of_it() -> None:
    coordinator, metrics = Coordinator(), Metrics()
    client = cast("Client", ClientDouble(coordinator))
    asked: dict[str, Any] = {"key_id": "treasury", "reference": "w", "request_id": "r"}
    wanted = NewShares(threshold=2, parties=["p1", "p2"], dealers=None, first_epoch=4, tries=2)
    seen: list[int] = []

    def shares(facts: Any) -> NewShares:
        seen.append(facts.epoch)
        return wanted

    def unfit(_: Any) -> NewShares:
        raise Problem("invalid_request", "it does not fit")

    async with CountingDesk(client, timeout_s=30, metrics=metrics) as desk:
        await desk.key("shop", "treasury")
        opened = await desk.begin_reshare("shop", shares=shares, **asked)
        again = await desk.begin_reshare("shop", shares=shares, **asked)
        with pytest.raises(Problem):
            await desk.begin_reshare("shop", shares=unfit, **{**asked, "request_id": "s"})
    ((key, sent),) = coordinator.reshared
    assert (key.facts.key_id, sent["parties"], sent["first_epoch"]) == ("treasury", ["p1", "p2"], 4)
    assert (seen, again.replayed, again.session_id) == ([0], True, opened.session_id)
    assert coordinator.key_queries == 3
    figures = metrics.exposition()[0].decode()
    assert 'warren_gateway_sessions_begun_total{type="reshare"} 1.0' in figures
    assert 'results_total{code="invalid_request",operation="reshare"} 1.0' in figures


async def test_a_desk_that_sees_a_new_epoch_forgets_who_held_the_key() -> None:
    double, coordinator = DeskDouble(), Coordinator()
    async with calls(gateway(double)) as http:
        name = await made_key(http)
        before: CertifiedKey = double.tenants["alice"].keys[name]
        told = await reshared(http, key_id=name, threshold_t=3)
    session_id = bytes.fromhex(told["session_id"])
    outcome = double.tenants["alice"].sessions[session_id].outcome
    assert isinstance(outcome, ReshareResult)

    class Knowing(ClientDouble):
        def acting_for(self, tenant: str) -> Knowing:
            return Knowing(self.coordinator, tenant)

        async def keys(self, only: str) -> list[Any]:
            self.coordinator.key_queries += 1
            return [before]

    client = cast("Client", Knowing(coordinator))
    coordinator.sessions["alice", "r"] = session_view(session_id=session_id, request_id="r")
    coordinator.outcomes[session_id] = outcome
    async with CountingDesk(client, timeout_s=30, metrics=Metrics()) as desk:
        assert await desk.key("alice", name) == before
        await desk.look("alice", session_id)
        assert (await desk.key("alice", name)).facts.threshold == 3
        assert await desk.key("alice", name, anew=True) == before
    assert coordinator.key_queries == 2


###
### Rehearsed
###


async def test_a_desk_rehearses_by_the_client_of_its_tenant() -> None:
    coordinator = Coordinator()
    desk = CountingDesk(cast("Client", ClientDouble(coordinator)), timeout_s=1.0, metrics=Metrics())
    wanted = NewShares(
        threshold=2, parties=["p1", "p2"], dealers=["p1", "p3"], first_epoch=4, tries=2
    )
    told = await desk.rehearse("alice", key_id="k", shares=lambda _: wanted)
    (asked,) = coordinator.rehearsed
    assert asked == (
        "alice",
        "k",
        {
            "threshold": 2,
            "parties": ["p1", "p2"],
            "dealers": ["p1", "p3"],
            "first_epoch": 4,
            "tries": 2,
        },
    )
    assert told.request.parties == ["p1", "p2"]
    assert coordinator.begun == []


async def test_when_the_old_shares_go_is_the_callers_to_say() -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        await reshared(http, key_id=key_id)
        assert desk.asked[-1]["delete_after"] == "backed_up"
        await reshared(http, key_id=key_id, delete_after="certified")
        assert desk.asked[-1]["delete_after"] == "certified"
        wrong = await http.post(RESHARE, json={"key_id": key_id, "delete_after": "never"})
        assert wrong.status_code == 422
