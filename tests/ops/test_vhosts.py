"""Vhosts that a busy broker takes its time to make."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from ops.stack import vhosts

Answers = Callable[[list[int]], list[httpx.Request]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Have the broker answer so, in this order, and 204 then; returns what it is asked."""

    def given(statuses: list[int]) -> list[httpx.Request]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return httpx.Response(statuses.pop(0) if statuses else 204)

        client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://broker")
        monkeypatch.setattr(vhosts, "_client", lambda _: client)
        return asked

    return given


def test_one_that_does_not_run_on_all_nodes_yet_is_asked_for_again(answers: Answers) -> None:
    asked = answers([500, 500])
    vhosts.create("http://ops:x@broker", "a/b")
    assert [request.url.raw_path for request in asked] == [
        *[b"/api/vhosts/a%2Fb"] * 3,
        b"/api/permissions/a%2Fb/ops",
    ]


def test_a_broker_that_never_makes_it_is_asked_no_longer_than_that(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vhosts, "PATIENCE_S", 0.1)
    answers([500] * 100)
    with pytest.raises(httpx.HTTPStatusError, match="500"):
        vhosts.create("http://ops:x@broker", "slow")


def test_who_may_not_make_one_is_told_at_once(answers: Answers) -> None:
    asked = answers([401])
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        vhosts.create("http://ops:x@broker", "mine")
    assert len(asked) == 1


def test_one_whose_users_go_while_they_are_listed_goes_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user that was deleted by a request which failed is gone."""
    asked: list[str] = []
    statuses = [204, 500, 200, 500, 404, 404]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.raw_path.decode()}")
        users = [{"name": "a/b.svcA"}, {"name": "other"}]
        return httpx.Response(statuses.pop(0), json=users if request.method == "GET" else None)

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://broker")
    monkeypatch.setattr(vhosts, "_client", lambda _: client)
    vhosts.delete("http://ops:x@broker", "a/b")
    assert asked == [
        "DELETE /api/vhosts/a%2Fb",
        *["GET /api/users"] * 2,
        *["DELETE /api/users/a%2Fb.svcA"] * 2,
        "DELETE /api/global-parameters/warren_topology.a%2Fb",
    ]
