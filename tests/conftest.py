"""What system tests stand on: a broker and a database server, a fresh corner of each per test."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from ops.stack import databases, vhosts
from ops.stack.errors import StackError
from ops.stack.services import Services, running_services

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("warren", deadline=None, print_blob=True)
hypothesis.settings.load_profile("warren")

STACK = Path(__file__).parents[1] / ".warren"
SYSTEM = Path(__file__).parent / "system"

LONGEST_ID = 60
TEARDOWN_S = 120
"""After a failure."""

_SHARED = pytest.StashKey[dict[str, Any]]()


def pytest_configure() -> None:
    # Told to end, pytest ends as after Ctrl-C and tears its fixtures down. A SystemExit, it would
    # take for the failure of one test.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_finish() -> None:
    # Ten thousand tests, which stay to the end: each look of the garbage collector at all of them
    # took a second.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the services is a system test: `-m "not system"` leaves it out. A simulated
    Warren is long.

    Of several processes (pytest-xdist) one runs all of a folder of tests/system: a whole Warren
    costs seconds to begin.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "services" in fixtures:
            item.add_marker(pytest.mark.system)
        if "shire" in fixtures:
            item.add_marker(pytest.mark.long)
        if SYSTEM in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(item.path.parent.name))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """What is long would say nothing in a test's name, and may have a key or a time in it: then the
    processes would not agree about the tests that there are."""
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_ID else None


def pytest_configure_node(node: Any) -> None:
    """Of several processes the leading one starts the services, and stops them at the end."""
    config: pytest.Config = node.config
    if "not system" in config.option.markexpr:
        return
    if _SHARED not in config.stash:
        started = contextlib.ExitStack()
        try:
            services = started.enter_context(running_services(STACK))
        except StackError:
            return  # every test that needs them will say why they are not there
        config.add_cleanup(started.close)
        config.stash[_SHARED] = dataclasses.asdict(services) | {
            "directory": str(services.directory)
        }
    node.workerinput["services"] = config.stash[_SHARED]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """pytest-timeout ends its clock when a test fails, and what the test left undone may be waited
    for in vain then."""
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    plugin: Any = item.config.pluginmanager.get_plugin("timeout")
    limit = plugin.Settings(TEARDOWN_S, "signal", func_only=False, disable_debugger_detection=False)
    item.config.hook.pytest_timeout_set_timer(item=item, settings=limit)
    try:
        yield
    finally:
        item.config.hook.pytest_timeout_cancel_timer(item=item)


@pytest.fixture
def usual_recursion() -> Iterator[None]:
    """As deep as Python goes in our programs. Some package that tests import allows itself more."""
    raised = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(raised)


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    shared: dict[str, Any] | None = getattr(request.config, "workerinput", {}).get("services")
    if shared is not None:
        yield Services(**shared | {"directory": Path(shared["directory"])})
        return
    with running_services(STACK) as running:
        yield running


@pytest.fixture
def vhost(services: Services) -> Iterator[str]:
    """The AMQP URL of an empty vhost."""
    name = f"test-{secrets.token_hex(6)}"
    vhosts.create(services.management_url, name)
    try:
        yield vhosts.address(services.amqp_url, name)
    finally:
        vhosts.delete(services.management_url, name)


@pytest.fixture
async def database(services: Services) -> AsyncIterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = f"test_{secrets.token_hex(6)}"
    url = await databases.create(services.database_url, name)
    try:
        yield url
    finally:
        await databases.drop(services.database_url, name)
