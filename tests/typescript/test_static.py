"""The TypeScript client without a broker: types, style, vectors, and the package made of it."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.npm import Npm

from .conftest import HOME

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("typescript")]

MAX_TARBALL_BYTES = 150_000
USER = """
import { WarrenClient, type Key } from "warren-client";
import { WarrenHttpClient, type Warren } from "warren-client/http";

export function both(one: WarrenClient, other: WarrenHttpClient): readonly Warren[] {
  return [one, other];
}

export async function idOf(client: Warren): Promise<string> {
  const key: Key = await client.createKey({ curve: "ed25519", threshold: 2, partyCount: 3 });
  // @ts-expect-error -- no such curve
  await client.createKey({ curve: "p256", threshold: 2, partyCount: 3 });
  // @ts-expect-error -- what is to be signed
  await client.sign({ keyId: key.keyId, scheme: "ed25519" });
  return key.keyId;
}
"""


DECLARED = (
    "",
    'import { fileSigner, WarrenClient } from "warren-client";',
    'import type { Warren } from "warren-client";\n'
    "declare const client: Warren;\n"
    "declare function keep(file: string, text: string): Promise<void>;\n",
    'import type { Warren } from "warren-client";\n'
    "declare const client: Warren;\n"
    "declare function keep(file: string, text: string): Promise<void>;\n",
    'import type { WarrenClient } from "warren-client";\n'
    "declare const client: WarrenClient;\n"
    "declare function keep(file: string, text: string): Promise<void>;\n",
    "declare const secret: string;",
)
"""What each of the README's blocks takes for granted."""


def readme_blocks() -> list[str]:
    return re.findall(
        r"^```ts\n(.*?)^```$", (HOME / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def user(npm: Npm, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has the packed package, as its users have it."""
    folder = tmp_path_factory.mktemp("user")
    packed = npm("pack", "--json", "--pack-destination", str(folder))
    assert packed.returncode == 0, packed.stderr
    (tarball,) = folder.glob("*.tgz")
    assert tarball.stat().st_size < MAX_TARBALL_BYTES
    place = folder / "node_modules" / "warren-client"
    place.mkdir(parents=True)
    with tarfile.open(tarball) as packed_files:
        for member in packed_files.getmembers():
            member.name = member.name.removeprefix("package/")
            packed_files.extract(member, place, filter="data")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "user.ts").write_text(USER)
    for number, block in enumerate(readme_blocks()):
        (folder / f"readme{number}.ts").write_text(DECLARED[number] + block)
    for name in ("amqplib", "@noble", "@types"):
        (folder / "node_modules" / name).symlink_to(HOME / "node_modules" / name)
    return folder


def test_the_compiler_and_the_linter_have_nothing_to_say(npm: Npm, compiled: Path) -> None:
    ended = npm.run("lint")
    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_core_is_held_to_the_vectors(npm: Npm, compiled: Path) -> None:
    ended = npm.run("unit")
    failed = re.split(r"^(?=\s*(?:not )?ok )", ended.stdout, flags=re.MULTILINE)
    assert ended.returncode == 0, "".join(each for each in failed if "not ok " in each)
    passed = re.search(r"^# pass (\d+)$", ended.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 100


def test_no_address_of_a_registry_stands_in_the_lock_file() -> None:
    lock = json.loads((HOME / "package-lock.json").read_text())
    assert not [name for name, each in lock["packages"].items() if "resolved" in each]
    assert "://" not in json.dumps(lock["packages"][""])
    assert set(lock["packages"][""]["dependencies"]) == {
        "amqplib",
        "@noble/curves",
        "@noble/hashes",
    }


def test_publint_and_attw_have_nothing_to_say(npm: Npm, user: Path) -> None:
    (tarball,) = user.glob("*.tgz")
    linted = npm("exec", "--", "publint", "run", str(tarball), "--strict")
    assert linted.returncode == 0, linted.stdout
    assert "All good" in linted.stdout
    typed = npm("exec", "--", "attw", str(tarball), "--profile", "esm-only", "--no-color")
    assert typed.returncode == 0, typed.stdout


@pytest.mark.parametrize(
    ("module", "resolution"),
    [("node16", "node16"), ("nodenext", "nodenext"), ("esnext", "bundler")],
)
def test_its_types_resolve(npm: Npm, user: Path, module: str, resolution: str) -> None:
    options = (
        "--strict",
        "--noEmit",
        "--target",
        "es2022",
        "--lib",
        "es2022,esnext.disposable,dom",
    )
    ways = ("--module", module, "--moduleResolution", resolution, "--types", "node")
    # Our own declarations are checked once; those of Node's cost seconds each time.
    quick = () if module == "node16" else ("--skipLibCheck",)
    ended = npm("exec", "--", "tsc", *options, *ways, *quick, *map(str, user.glob("*.ts")))
    assert ended.returncode == 0, ended.stdout


def node(program: str) -> str:
    """What it prints. It is a module's text."""
    ended = subprocess.run(
        ["node", "--input-type=module", "-e", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_it_is_imported_by_node(user: Path) -> None:
    place = user / "plain.js"
    place.write_text("export { WarrenClient } from 'warren-client';")
    assert node(f"console.log(typeof (await import({str(place)!r})).WarrenClient)") == "function\n"


def test_a_bundler_makes_a_pages_script_of_it(npm: Npm, user: Path) -> None:
    """Nothing of Node is in it, nor needed by it: a key is asked for, and disbelieved."""
    page, bundle = user / "page.js", user / "bundle.js"
    page.write_text("export { WarrenHttpClient } from 'warren-client';")
    options = ("--bundle", "--format=esm", "--platform=browser", "--minify")
    ended = npm("exec", "--", "esbuild", str(page), *options, f"--outfile={bundle}")
    assert ended.returncode == 0, ended.stderr
    text = bundle.read_text()
    assert "amqplib" not in text
    assert "node:" not in text
    told = json.loads((HOME.parent / "vectors" / "certificates.json").read_text())
    settings = {
        "url": "http://gateway.example",
        "apiKey": "secret",
        "owner": {"clientId": "svcA", "tenant": "alice"},
        "parties": told["parties"],
    }
    answers = {each["name"]: {"certified_key": each["key"]} for each in told["cases"]}
    program = f"""
        const {{ WarrenHttpClient }} = await import({str(bundle)!r});
        const say = console.log;
        for (const name of ["Buffer", "process", "setImmediate"]) delete globalThis[name];
        const ask = async (told) => {{
            // Node's own Response needs what was taken away.
            const parts = [{{ value: new TextEncoder().encode(JSON.stringify(told)) }}];
            const read = async () => parts.pop() ?? {{ done: true }};
            const body = {{ getReader: () => ({{ read, cancel: async () => undefined }}) }};
            const fetch = async () => ({{ ok: true, status: 200, body }});
            const client = new WarrenHttpClient({{ ...{json.dumps(settings)}, fetch }});
            return client.key("ed25519").then((key) => key.keyId, (error) => error.code);
        }};
        const answers = {json.dumps(answers)};
        say(await ask(answers["a tenant's"]), await ask(answers["one certificate is missing"]));
    """
    assert node(program) == "ed25519 disbelieved\n"
