"""From settings to a process that serves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import ssl

import tenacity

from contracts.client import BrokerUnavailableError, Client, SettingsError
from contracts.tls import TlsFileError, require_private

from .app import create_app
from .entry.secrets import EXAMPLE_DIGESTS
from .ledger import LedgerError
from .server import Server, configuration
from .settings import Door, GatewaySettings

logger = logging.getLogger(__name__)

STARTUP_PATIENCE_S = 60
GC_THRESHOLD = 20_000
PARENT_LOOK_S = 1.0


def listen(door: Door) -> socket.socket:
    """Raises OSError if the address is not to be had."""
    family = socket.AF_INET6 if ":" in door.host else socket.AF_INET
    if family is socket.AF_INET:
        family = socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((door.host, door.port), family=family)


def check_certificate(door: Door) -> None:
    """Before anything listens. Raises SettingsError that names the files."""
    certificate, key = door.tls_certificate_file, door.tls_key_file
    if certificate is None or key is None:
        return
    try:
        for path in (certificate, key):
            path.open("rb").close()
        require_private(key)
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}") from None
    except TlsFileError as error:
        raise SettingsError(str(error)) from None
    try:
        # An empty password, or OpenSSL asks for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"{certificate} and {key} are no certificate and key in PEM that fit ({error})"
        ) from None


def check_api_keys(settings: GatewaySettings) -> None:
    """Before anything listens. Raises SettingsError if what was kept of API keys is not the
    authority's, or cannot be kept, or if one of them opens with a secret that everybody knows."""
    ledger = settings.ledger()
    try:
        ledger.catch_up()
    except LedgerError as error:
        raise SettingsError(f"gateway: api_keys_file: {error}") from None
    known = [key for key in ledger.chain.listed() if key.key_digest in EXAMPLE_DIGESTS]
    for key in known:
        if key.revoked_at is None:
            raise SettingsError(
                f"gateway: the secret of API key {key.api_key_id} is a placeholder from an "
                "example: make another one, then `warren gateway api-keys revoke "
                f"{key.api_key_id}`"
            )


def allow_many_files() -> None:
    """As many as may be: every connection is one, and a shell's default is a thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(settings: GatewaySettings, listener: socket.socket) -> None:
    """Until SIGTERM or SIGINT; then stop accepting, and finish what is in flight.

    Raises:
        TopologyError, BrokerUnavailableError: What is missing, and how to mend it.
    """
    async with contextlib.AsyncExitStack() as stack:
        client = await _connect(stack, settings)
        app = create_app(settings, client)
        server = Server(configuration(app, settings), stopping=app.state.desk.hang_up)
        _spare_the_collector()
        await server.serve([listener])


async def serve_as_child(settings: GatewaySettings, listener: socket.socket) -> None:
    """The same, and no longer than the process that forked this one."""
    watch = asyncio.create_task(_end_with(os.getppid()))
    try:
        await serve(settings, listener)
    finally:
        watch.cancel()


async def _end_with(parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing else tells of its end
        await asyncio.sleep(PARENT_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


async def _connect(stack: contextlib.AsyncExitStack, settings: GatewaySettings) -> Client:
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(BrokerUnavailableError),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
        stop=tenacity.stop_after_delay(STARTUP_PATIENCE_S),
        before_sleep=_log_retry,
        reraise=True,
    ):
        with attempt:
            client = await stack.enter_async_context(Client.connect(settings.client))
    return client


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    logger.warning("not connected yet: %s", error)


def _spare_the_collector() -> None:
    """What was loaded at start is never garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
