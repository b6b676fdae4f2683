from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable

import httpx
import pytest

import topology.management
from topology.broker import Broker, QueueInUseError
from topology.management import AccessError, BrokerError, Management, UnavailableError
from topology.problems import TopologyError

PASSWORD = "s3cret-Pässwort"
URL = "http://ops:s3cret-P%C3%A4sswort@broker.example:15672"

Handler = Callable[[httpx.Request], httpx.Response]


def management(handler: Handler, url: str = URL) -> Management:
    return Management(url, transport=httpx.MockTransport(handler))


def answering(status: int, json: object = None, text: str | None = None) -> Handler:
    def handle(_: httpx.Request) -> httpx.Response:
        if text is not None:
            return httpx.Response(status, text=text)
        return httpx.Response(status, json=json)

    return handle


def failing(error: type[httpx.TransportError]) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error(f"at {request.url}", request=request)

    return handle


@pytest.mark.parametrize(
    ("handler", "error", "said"),
    [
        (failing(httpx.ConnectError), UnavailableError, "cannot be reached"),
        (failing(httpx.ConnectTimeout), UnavailableError, "did not answer within 15 s"),
        (failing(httpx.RemoteProtocolError), UnavailableError, "Is it the AMQP port?"),
        (failing(httpx.ReadError), UnavailableError, "Is it the AMQP port?"),
        (
            answering(401, {"error": "not_authorized", "reason": "Login failed"}),
            AccessError,
            'http://broker.example:15672 refused the user "ops" (Login failed)',
        ),
        (
            answering(401, {"error": "not_authorized", "reason": "Not administrator user"}),
            AccessError,
            'user "ops" may not do this: Not administrator user',
        ),
        (answering(403, {"reason": "no"}), AccessError, 'GET queues/a%2Fb: user "ops" may not'),
        (answering(400, {"reason": "inequivalent arg"}), BrokerError, "answered 400: inequivalent"),
        (answering(404, {"reason": "Not Found"}), BrokerError, "answered 404: Not Found"),
        (answering(301, text="moved"), BrokerError, "answered 301"),
        (answering(503, text="<html>"), UnavailableError, "the broker failed with 503"),
        (answering(200, text="<html>"), BrokerError, "is not RabbitMQ's management API"),
    ],
)
async def test_what_goes_wrong_is_said_without_the_password(
    monkeypatch: pytest.MonkeyPatch, handler: Handler, error: type[TopologyError], said: str
) -> None:
    monkeypatch.setattr(topology.management, "_PAUSES_S", (0, 0))
    async with management(handler) as api:
        with pytest.raises(error) as caught:
            await api.get("queues/{}", "a/b")
    assert said in str(caught.value)
    whole = "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, "s3cret"):
        assert secret not in whole
        assert secret not in repr(api)


@pytest.mark.parametrize(
    ("method", "statuses", "asked"),
    [("GET", [500, 503, 200], 3), ("GET", [500] * 4, 3), ("PUT", [500, 200], 1)],
)
async def test_what_was_read_in_vain_is_read_again_and_nothing_is_done_again(
    monkeypatch: pytest.MonkeyPatch, method: str, statuses: list[int], asked: int
) -> None:
    monkeypatch.setattr(topology.management, "_PAUSES_S", (0, 0))
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(statuses[len(requests) - 1], json={})

    ends_well = statuses[asked - 1] == 200
    async with management(answer) as api:
        with contextlib.nullcontext() if ends_well else pytest.raises(UnavailableError):
            await api.send(method, "users")
    assert len(requests) == asked


@pytest.mark.parametrize(
    "url",
    [
        "amqp://ops:s3cret@broker:5672",
        "broker:15672",
        "http://ops:s3cret@:15672",
        "http://ops:s3cret@broker:port",
        "http://ops:s3cret@broker:99999",
        "http://ops:s3cret@[broker",
        "",
    ],
)
def test_a_useless_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BrokerError, match="management URL") as caught:
        Management(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


async def _credentials(url: str, user: str | None, password: str | None) -> tuple[str, str]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    transport = httpx.MockTransport(handle)
    async with Management(url, user=user, password=password, transport=transport) as api:
        await api.get("whoami")
    return str(seen[0].url), seen[0].headers["authorization"]


@pytest.mark.parametrize(
    ("url", "user", "password", "expected_url", "expected"),
    [
        (URL, None, None, "http://broker.example:15672/api/whoami", ("ops", PASSWORD)),
        (URL, "me", "mine", "http://broker.example:15672/api/whoami", ("me", "mine")),
        ("http://b", None, None, "http://b/api/whoami", ("guest", "guest")),
        ("http://u@b", None, "", "http://b/api/whoami", ("u", "")),
        ("https://b:1/mq/", "u", "p", "https://b:1/mq/api/whoami", ("u", "p")),
        ("http://[::1]:2/api", "u", "p", "http://[::1]:2/api/whoami", ("u", "p")),
    ],
)
async def test_credentials_come_from_arguments_then_url_then_the_default(
    url: str,
    user: str | None,
    password: str | None,
    expected_url: str,
    expected: tuple[str, str],
) -> None:
    basic = next(httpx.BasicAuth(*expected).auth_flow(httpx.Request("GET", "http://x")))
    assert await _credentials(url, user, password) == (
        expected_url,
        basic.headers["authorization"],
    )


async def test_names_are_quoted_into_the_path() -> None:
    seen: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(204)

    async with management(handle) as api:
        assert await api.send("PUT", "queues/{}/{}", "/", "a b/#?%c") is None
    assert seen == [b"/api/queues/%2F/a%20b%2F%23%3F%25c"]


@pytest.mark.parametrize("text", ["<html>", '{"error": "Object Not Found"}'])
async def test_a_server_that_knows_nothing_is_no_broker_without_a_vhost(text: str) -> None:
    async with management(answering(404, text=text)) as api:
        with pytest.raises(BrokerError, match="is not RabbitMQ's management API"):
            await Broker(api, vhost="warren").found()


###
### A queue is deleted only when it is certainly empty
###


def _queue_api(queue: dict[str, object], waiting: list[object]) -> tuple[Handler, list[str]]:
    deleted: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            deleted.append(request.url.path)
            return httpx.Response(204)
        return httpx.Response(200, json=waiting if request.method == "POST" else queue)

    return handle, deleted


@pytest.mark.parametrize(
    ("queue", "waiting", "said"),
    [
        ({"messages": 1}, [], "holds 1 messages"),
        ({"consumers": 2, "messages": 0}, [], "has 2 consumers"),
        ({"consumer_details": [{}], "consumers": 0}, [], "has 1 consumers"),
        ({"messages": 0, "consumers": 0}, [{"payload": "x"}], "holds messages"),
    ],
)
async def test_a_queue_in_use_is_not_deleted(
    queue: dict[str, object], waiting: list[object], said: str
) -> None:
    handler, deleted = _queue_api(queue, waiting)
    async with management(handler) as api:
        with pytest.raises(QueueInUseError, match=said):
            await Broker(api, vhost="v").delete_queue("q")
    assert deleted == []


async def test_an_empty_queue_is_deleted() -> None:
    handler, deleted = _queue_api({"messages": 0, "consumers": 0, "consumer_details": []}, [])
    async with management(handler) as api:
        await Broker(api, vhost="v").delete_queue("q")
    assert deleted == ["/api/queues/v/q"]
