"""RabbitMQ's management API as requests that either work or say, without secrets, why not."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, unquote, urlsplit

import httpx

from topology import tls
from topology.problems import TopologyError

_TIMEOUT_S: Final = 15.0
_PAUSES_S: Final = (0.2, 0.8, 2, 4)
"""Before what was read in vain is read again."""


class UnavailableError(TopologyError):
    """The broker does not answer; try again."""


class AccessError(TopologyError):
    """The broker's user or its rights are wrong."""


class BrokerError(TopologyError):
    """The broker refused something, or the other end is no broker."""


class Management:
    """A management API, as an asynchronous context.

    Args:
        url: ``http[s]://[user:password@]host:port[/prefix]``, and files for TLS as `tls` has it.
            Percent signs in the credentials are decoded; the password appears in no message, log
            line or repr.
        user, password: Instead of those in the URL. Without any, RabbitMQ's own guest.
        transport: For tests.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url, url_user, url_password = _without_credentials(url)
        self.user = user or url_user or "guest"
        secret = password if password is not None else url_password
        self._http = httpx.AsyncClient(
            base_url=f"{self.url}/api/",
            auth=httpx.BasicAuth(self.user, "guest" if secret is None else secret),
            timeout=_TIMEOUT_S,
            # An explicit transport also keeps a proxy in the environment out of the way.
            transport=_transport(url) if transport is None else transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    def __repr__(self) -> str:
        return f"Management({self.url})"

    async def get(self, path: str, *names: str, missing_ok: bool = False) -> Any:
        """What the management API knows of a resource; None where it is missing and may be."""
        return await self.send("GET", path, *names, missing_ok=missing_ok)

    async def time(self) -> float | None:
        """By the broker's clock, Unix seconds, exact to one; None where an answer does not tell.

        Raises as `get` does.
        """
        answer = await self._answered("GET", "whoami", None)
        self._raise_for(answer, "GET whoami")
        told = answer.headers.get("Date")
        try:
            return None if told is None else parsedate_to_datetime(told).timestamp()
        except ValueError:
            return None

    async def send(
        self,
        method: str,
        path: str,
        *names: str,
        body: Mapping[str, object] | None = None,
        missing_ok: bool = False,
    ) -> Any:
        """The answer's JSON, or None when it has none.

        Args:
            path: Below ``/api/``, with ``{}`` for each of `names`, which are quoted.
            missing_ok: Whether "not found" is an answer, None, rather than an error. It always
                is when something is to be deleted.

        Raises:
            UnavailableError, AccessError, BrokerError: See there.
        """
        url = path.format(*(quote(name, safe="") for name in names))
        answer = await self._answered(method, url, body)
        missing_ok = missing_ok or method == "DELETE"
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        self._raise_for(answer, f"{method} {url}")
        return self._json(answer) if answer.content else None

    async def _answered(
        self, method: str, url: str, body: Mapping[str, object] | None
    ) -> httpx.Response:
        """Raises UnavailableError, or that TLS is refused."""
        try:
            return await self._answer(method, url, body)
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            if (said := tls.cause(error)) is not None:
                raise tls.refused(self.url, said) from None
            raise UnavailableError(
                f"{self.url} closed the connection or answered in no HTTP. Is it the AMQP port? "
                "The management API is usually on 15672"
            ) from None
        except httpx.TimeoutException:
            raise UnavailableError(
                f"RabbitMQ's management API at {self.url} did not answer within {_TIMEOUT_S:.0f} s"
            ) from None
        except httpx.TransportError as error:
            if (said := tls.cause(error)) is not None:
                raise tls.refused(self.url, said) from None
            raise UnavailableError(
                f"RabbitMQ's management API at {self.url} cannot be reached ({error}). "
                "Is the broker running, with the rabbitmq_management plugin?"
            ) from None

    async def _answer(
        self, method: str, url: str, body: Mapping[str, object] | None
    ) -> httpx.Response:
        """Whoever asks for all users while some of them go, or for a queue without a leader, is
        answered 500, and seconds later what was asked for."""
        for pause_s in _PAUSES_S if method == "GET" else ():
            answer = await self._http.request(method, url)
            if not answer.is_server_error:
                return answer
            await asyncio.sleep(pause_s)
        return await self._http.request(method, url, json=body)

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise BrokerError(
                f"{self.url} is not RabbitMQ's management API: its answer is no JSON"
            ) from None

    def _raise_for(self, answer: httpx.Response, request: str) -> None:
        reason = _reason(answer)
        match answer.status_code:
            case httpx.codes.UNAUTHORIZED if "not_authorized" in answer.text and "user" in reason:
                raise AccessError(f'{request}: user "{self.user}" may not do this: {reason}')
            case httpx.codes.UNAUTHORIZED:
                raise AccessError(
                    f'{self.url} refused the user "{self.user}" ({reason}). Check name and '
                    "password, and that the user has the administrator tag"
                )
            case httpx.codes.FORBIDDEN:
                raise AccessError(f'{request}: user "{self.user}" may not do this: {reason}')
            case status if status >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise UnavailableError(f"{request}: the broker failed with {status}: {reason}")
            case status if not answer.is_success:
                raise BrokerError(f"{request}: the broker answered {status}: {reason}")


def _transport(url: str) -> httpx.AsyncHTTPTransport:
    # Without TLS, one that believes nobody: httpx's own would read every CA of this system first.
    believing = tls.context(url) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncHTTPTransport(verify=believing)


def _without_credentials(url: str) -> tuple[str, str | None, str | None]:
    """(URL, user, password). A useless URL is not repeated: it may hold a password."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise BrokerError("the management URL has no valid host or port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.path:
        raise BrokerError("the management URL has to look like http://user:password@host:15672")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    plain = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"
    user, password = parts.username, parts.password
    return (
        plain.removesuffix("/api"),
        None if user is None else unquote(user),
        None if password is None else unquote(password),
    )


def _reason(answer: httpx.Response) -> str:
    try:
        said = json.loads(answer.text)
    except ValueError:
        return answer.reason_phrase
    return str(said.get("reason", said)) if isinstance(said, dict) else str(said)
