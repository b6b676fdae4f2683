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
        _put(client, f"/api/vhosts/{vhost}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        client.put(f"/api/permissions/{vhost}/{user}", json=everything).raise_for_status()


def _put(client: httpx.Client, path: str) -> None:
    """RabbitMQ waits ten seconds for a vhost to run on all nodes of a cluster and answers 500
    then; on a busy machine it takes longer, and what was begun goes on."""
    put = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_passes),
        wait=tenacity.wait_fixed(0.5),
        stop=tenacity.stop_after_delay(PATIENCE_S),
        reraise=True,
    )
    put(lambda: client.put(path).raise_for_status())


def _passes(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.is_server_error


def delete(management_url: str, name: str) -> None:
    """Delete a vhost with all that is in it, its users, and the topology's notes about it."""
    vhost = quote(name, safe="")
    with _client(management_url) as client:
        client.delete(f"/api/vhosts/{vhost}").raise_for_status()
        users = [user["name"] for user in client.get("/api/users").raise_for_status().json()]
        for user in users:
            if user.startswith(f"{name}."):
                client.delete(f"/api/users/{quote(user, safe='')}").raise_for_status()
        # The vhost's own deletion leaves this behind; 404 where no topology was applied.
        client.delete(f"/api/global-parameters/warren_topology.{vhost}")


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
