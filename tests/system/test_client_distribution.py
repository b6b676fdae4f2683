"""A user's first hour: warren-client alone in a new environment, and the README's script."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from contracts.primitives import Scheme
from contracts.verification import check_signature
from ops.stack.deployment import Deployment
from tests.packaging.wheels import CLIENT, EXAMPLE, TREE, build

pytestmark = pytest.mark.system


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with nothing but the wheel, and what it needs in the tested versions."""
    folder = tmp_path_factory.mktemp("user")
    locked = (TREE / "ops" / "requirements" / "test.txt").read_text()
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(re.findall(r"(?m)^[^\s#][^\\\n]*", locked)))
    venv.create(folder / "venv", with_pip=False)
    interpreter = folder / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", interpreter)
    wheel = build(CLIENT, folder)
    run(*pip, "install", "--no-compile", "--constraint", constraints, wheel, cwd=folder)
    return interpreter


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Where the user works: with modules of the names that this tree has."""
    shutil.copy(EXAMPLE, tmp_path)
    for name in ("contracts", "workers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    (tmp_path / "contracts.py").write_text("MINE = True\n")
    return tmp_path


def test_the_readmes_script_signs_through_a_running_warren(
    deployment: Deployment, python: Path, desk: Path
) -> None:
    out = run(python, EXAMPLE.name, deployment.clients["svcA"], cwd=desk)
    of_ed25519, of_ecdsa = (line.split() for line in out.splitlines())
    assert (of_ed25519[0], of_ecdsa[0]) == ("ed25519", "ecdsa")
    public_key, signature = map(bytes.fromhex, of_ed25519[1:])
    check_signature(Scheme.ED25519, public_key, b"to whom it may concern", signature)
    child, der = map(bytes.fromhex, of_ecdsa[1:])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), child)
    key.verify(der, b"a transaction", ec.ECDSA(hashes.SHA256()))


def test_the_users_own_modules_are_his(python: Path, desk: Path) -> None:
    names = "import contracts, warren_client; print(contracts.MINE, warren_client.__file__)"
    mine, path = run(python, "-c", names, cwd=desk).split()
    assert mine == "True"
    assert Path(path).is_relative_to(python.parents[1])


def test_the_script_passes_the_strictest_check_of_types(python: Path, desk: Path) -> None:
    # And it is checked against our types: a mistake is found.
    (desk / "wrong.py").write_text(EXAMPLE.read_text().replace("threshold=2", 'threshold="2"'))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--python-executable", python),
            *("--config-file=", "--cache-dir", desk / "cache", EXAMPLE.name, "wrong.py"),
        ],
        cwd=desk,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    *found, summary = done.stdout.splitlines()
    assert len(found) == 2, done.stdout
    for line in found:
        assert line.startswith("wrong.py:")
        assert 'incompatible type "str"; expected "int"' in line
    assert "checked 2 source files" in summary
