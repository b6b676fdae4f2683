"""What the two distributions install, and that each declares what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

import pytest

from tests.packaging.wheels import CLIENT, EXAMPLE, TREE, build, contents, imported, project

pytestmark = pytest.mark.long

Contents = dict[PurePosixPath, bytes]

NOT_IMPORTED = {
    "eth-hash",  # eth-utils finds it, and pycryptodome under it
    "httptools",  # uvicorn does
    "opentelemetry-sdk",  # comes to use with traces
    "websockets",  # uvicorn does
}


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(CLIENT, tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def client(client_wheel: Path) -> Contents:
    return contents(client_wheel)


@pytest.fixture(scope="module")
def server_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(TREE, tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def server(server_wheel: Path) -> Contents:
    return contents(server_wheel)


def modules(found: Contents) -> Contents:
    return {path: source for path, source in found.items() if path.suffix == ".py"}


def foreign(found: Contents) -> set[str]:
    """The distributions that its modules import from, by their usual names."""
    ours = {path.parts[0] for path in found}
    names = {name for source in modules(found).values() for name in imported(source)}
    names -= ours | sys.stdlib_module_names
    providers = packages_distributions()
    assert names <= providers.keys()
    return {usual(providers[name][0]) for name in names}


def declared(requirements: list[str]) -> set[str]:
    return {usual(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements}


def usual(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_client_installs_one_name_with_its_types(client: Contents) -> None:
    assert {path.parts[0] for path in client} == {"warren_client"}
    assert PurePosixPath("warren_client/py.typed") in client
    assert PurePosixPath("warren_client/client/client.py") in client


def test_the_client_imports_nothing_of_ours_by_an_absolute_name(client: Contents) -> None:
    ours = {path.name for path in TREE.iterdir() if (path / "__init__.py").exists()}
    assert {"contracts", "workers"} < ours
    for path, source in modules(client).items():
        assert not set(imported(source)) & (ours | {"warren_client"}), path


def test_the_client_declares_what_it_imports(client: Contents) -> None:
    table = project(CLIENT)
    needed = declared(table["dependencies"])
    assert len(needed) <= 9
    wallets = {path: source for path, source in client.items() if path.stem == "wallets"}
    derivation = {"btclib"}  # for one property, which only wallets ask for
    assert foreign(client) - foreign(wallets) - derivation == needed
    extra = declared(table["optional-dependencies"]["wallets"])
    assert foreign(wallets) | derivation == extra - NOT_IMPORTED


def test_both_ask_for_the_same_versions() -> None:
    server, client = project(TREE), project(CLIENT)
    assert client["version"] == server["version"]
    assert client["requires-python"] == server["requires-python"]
    assert {*client["dependencies"], *client["optional-dependencies"]["wallets"]} < {
        *server["dependencies"]
    }


def test_every_module_of_the_client_works_without_those_left_out(
    client_wheel: Path, client: Contents
) -> None:
    names = [".".join(path.with_suffix("").parts) for path in modules(client)]
    names = [name.removesuffix(".__init__") for name in names]
    loaded = "import sys, importlib; sys.path.insert(0, sys.argv[1])\n" + (
        "for name in sys.argv[2:]: importlib.import_module(name)\n"
        "front = importlib.import_module('warren_client')\n"
        "assert all(hasattr(front, name) for name in front.__all__)\n"
        "ours = {'contracts', 'workers', 'topology', 'gateway', 'ops'} & sys.modules.keys()\n"
        "sys.exit(f'{ours} came along' if ours else 0)"
    )
    # Isolated: nothing of this tree is on its path but what an editable installation puts there.
    command = [sys.executable, "-I", "-c", loaded, str(client_wheel), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_server_installs_the_folders_that_run_it(server: Contents) -> None:
    folders = {"contracts", "topology", "workers", "gateway", "migrations", "ops"}
    assert {path.parts[0] for path in server} == folders
    assert {path.parts[1] for path in server if path.parts[0] == "ops"} == {
        "__init__.py",
        "cli",
        "configurations.py",
        "deadletters",
        "doctor",
        "migrate-callers.md",
        "registrar",
        "runbooks",
    }


def test_the_server_declares_what_it_imports(server: Contents) -> None:
    absent = {"ops/cli/showcase.py"}  # stands on what the wheel has not
    found = {path: source for path, source in server.items() if str(path) not in absent}
    assert foreign(found) == declared(project(TREE)["dependencies"]) - NOT_IMPORTED


@pytest.mark.parametrize("name", ["bench", "chaos", "demo", "test-ca", "up"])
def test_a_command_that_is_not_installed_says_where_it_is(
    server_wheel: Path, tmp_path: Path, name: str
) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from ops.cli.main import main; main()"
    )
    command = [sys.executable, "-I", "-c", script, str(server_wheel), name, "--seconds", "9"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"`warren {name}` belongs to Warren's source tree" in done.stderr


def test_the_readme_shows_the_example_as_it_is() -> None:
    assert f"```python\n{EXAMPLE.read_text()}```" in (TREE / "README.md").read_text()
