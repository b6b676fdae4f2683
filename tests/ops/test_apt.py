"""Installing packages, against an apt-get that only writes down what it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.stack import apt
from ops.stack.errors import StackError

# What it finds in place while it runs is what the packages' own scripts would find.
APT = """#!/bin/sh
echo "$*" >> {root}/calls
cat {root}/usr/sbin/policy-rc.d > {root}/policy-seen
cat {root}/etc/postgresql-common/createcluster.d/* > {root}/cluster-seen
echo "E: Unable to locate package"
[ -e {root}/works ] || [ "$1" = update ] && {after_update}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    fake(tmp_path / "systemctl", f'#!/bin/sh\necho "$*" >> {tmp_path}/disabled\n')
    return tmp_path


def test_nothing_starts_and_nothing_is_left_behind(root: Path) -> None:
    fake(root / "apt-get", APT.format(root=root, after_update="true"))
    (root / "works").touch()
    lines: list[str] = []
    apt.install([apt.RABBITMQ, apt.POSTGRES], progress=lines.append, root=root)

    (call,) = (root / "calls").read_text().splitlines()
    assert call.startswith("install --yes --no-install-recommends rabbitmq-server postgresql")
    assert "exit 101" in (root / "policy-seen").read_text()
    assert (root / "cluster-seen").read_text() == "create_main_cluster = false\n"
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert not (root / "etc/postgresql-common").exists()
    assert "disable rabbitmq-server.service" in (root / "disabled").read_text()
    assert lines == ["Installing rabbitmq-server and postgresql with apt (once) ..."]


def test_the_machines_own_policy_comes_back(root: Path) -> None:
    policy = root / "usr/sbin/policy-rc.d"
    policy.parent.mkdir(parents=True)
    policy.write_text("#!/bin/sh\nexit 104\n")
    policy.chmod(0o711)
    fake(root / "apt-get", APT.format(root=root, after_update="true"))
    (root / "works").touch()
    apt.install([apt.RABBITMQ], progress=lambda _: None, root=root)
    assert "exit 101" in (root / "policy-seen").read_text()
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"
    assert policy.stat().st_mode & 0o777 == 0o711


def test_lists_are_updated_only_when_the_first_attempt_fails(root: Path) -> None:
    fake(root / "apt-get", APT.format(root=root, after_update=f"touch {root}/works"))
    apt.install([apt.RABBITMQ], progress=lambda _: None, root=root)
    calls = [call.split()[0] for call in (root / "calls").read_text().splitlines()]
    assert calls == ["install", "update", "install"]


def test_a_failure_ends_with_apts_own_words_and_no_policy_of_ours(root: Path) -> None:
    fake(root / "apt-get", APT.format(root=root, after_update="true"))
    with pytest.raises(StackError, match=r"could not install rabbitmq-server:\n.*Unable to locate"):
        apt.install([apt.RABBITMQ], progress=lambda _: None, root=root)
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert not (root / "disabled").exists()


def fake(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)
