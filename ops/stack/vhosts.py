"""Virtual hosts of a broker: a vhost is a broker of its own as far as its users can tell."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
import tenacity

from topology import tls

PATIENCE_S = 60.0


def create(management_url: str, name: str) -> None:
    """Make a vhost, or find it made, in which the URL's own user may do everything."""
    with _client(management_url) as client:
        vhost = quote(name, safe="")
        user = quote(str(urlsplit(management_url).username), safe="")
        _ask(client, "PUT", f"/api/vhosts/{vhost}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        _ask(client, "PUT", f"/api/permissions/{vhost}/{user}", json=everything)


def _ask(client: httpx.Client, method: str, path: str, json: object = None) -> httpx.Response:
    """RabbitMQ answers 500 if a vhost does not run on all nodes of a cluster after ten seconds, and
    what was begun goes on; and if a user goes while it lists them all. Doing any of this twice does
    no harm: what is to go may be gone."""
    patiently = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_passes),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(PATIENCE_S),
        reraise=True,
    )

    def answer() -> httpx.Response:
        got = client.request(method, path, json=json)
        gone = method == "DELETE" and got.status_code == httpx.codes.NOT_FOUND
        return got if gone else got.raise_for_status()

    return patiently(answer)


def _passes(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.is_server_error


def delete(management_url: str, name: str) -> None:
    """Delete a vhost with all that is in it, its users, and the topology's notes about it."""
    vhost = quote(name, safe="")
    with _client(management_url) as client:
        _ask(client, "DELETE", f"/api/vhosts/{vhost}")
        users = [user["name"] for user in _ask(client, "GET", "/api/users").json()]
        for user in users:
            if user.startswith(f"{name}."):
                _ask(client, "DELETE", f"/api/users/{quote(user, safe='')}")
        # The vhost's own deletion leaves this behind; 404 where no topology was applied.
        _ask(client, "DELETE", f"/api/global-parameters/warren_topology.{vhost}")


def address(amqp_url: str, name: str) -> str:
    """The same broker, user and options; another vhost."""
    return urlunsplit(urlsplit(amqp_url)._replace(path=f"/{quote(name, safe='')}"))


def login(url: str, user: str, password: str) -> str:
    """The same place, for another user."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{password}@{place}"))


def _client(management_url: str) -> httpx.Client:
    """A client whose base URL has lost the password, which would show in logs and exceptions."""
    parts = urlsplit(management_url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="")
    return httpx.Client(
        base_url=urlunsplit(bare),
        verify=tls.context(management_url) or True,
        auth=(unquote(parts.username or ""), unquote(parts.password or "")),
        timeout=60,
    )
