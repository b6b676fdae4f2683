"""A folder per run: locked, swept, reachable."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.stack.children import Account
from ops.stack.errors import StackError
from ops.stack.workspace import reachable_base, workspace

NOBODY = Account(65534, 65534)


def test_runs_share_the_cache_and_nothing_else(tmp_path: Path) -> None:
    with (
        workspace(tmp_path, keep=False, account=None) as one,
        workspace(tmp_path, keep=False, account=None) as two,
    ):
        assert one.run != two.run
        assert one.cache == two.cache
        assert one.run.stat().st_mode & 0o077 == 0
        assert (one.run / "lock").stat().st_mode & 0o077 == 0
    assert not one.run.exists()
    assert not two.run.exists()
    assert one.cache.exists()


def test_the_next_run_sweeps_up_what_a_killed_one_left(tmp_path: Path) -> None:
    left = tmp_path / "run-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "data").write_text("half a database")
    with workspace(tmp_path, keep=False, account=None) as alive:
        assert not left.exists()
        with workspace(tmp_path, keep=False, account=None):
            assert alive.run.exists()


def test_only_one_at_a_time_works_on_what_is_kept(tmp_path: Path) -> None:
    with workspace(tmp_path, keep=True, account=None) as kept:
        (kept.run / "data").write_text("a database")
        with (
            pytest.raises(StackError, match="Another process"),
            workspace(tmp_path, keep=True, account=None),
        ):
            pass
    with workspace(tmp_path, keep=True, account=None) as again:
        assert (again.run / "data").read_text() == "a database"


def test_a_server_of_another_user_gets_a_place_that_it_can_reach(tmp_path: Path) -> None:
    closed = tmp_path / "root"
    closed.mkdir(mode=0o700)
    tree = closed / "tree" / ".warren"
    assert reachable_base(tree, None) == tree
    elsewhere = reachable_base(tree, NOBODY)
    assert elsewhere.parent == Path("/var/lib/warren")
    assert elsewhere != reachable_base(closed / "other" / ".warren", NOBODY)

    assert reachable_base(Path("/srv/tree/.warren"), NOBODY) == Path("/srv/tree/.warren")
