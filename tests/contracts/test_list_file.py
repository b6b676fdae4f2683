"""A list in a file: what was verified once is there after a restart, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.client_list import Action, ClientKey, ClientList
from contracts.identity import Identity
from contracts.list_file import SHOWN, ListFile, ListFileError
from contracts.list_log import Logged
from contracts.numbered_lists import ListOperator, SignedEntry

OPERATOR = Identity.generate()


def empty() -> ClientList:
    return ClientList([ListOperator(OPERATOR.public)])


def entries(count: int) -> list[SignedEntry]:
    listed, made = empty(), []
    for number in range(count):
        key = ClientKey(public_key=Identity.generate().public.der)
        content = {"action": Action.PUT, "client_id": f"svc{number}", "keys": (key,)}
        made.append(listed.signed(OPERATOR, issued_at=1, **content))
        listed.take(made[-1])
    return made


def logged(*signed: SignedEntry) -> list[Logged]:
    return [Logged("clients", each.to_bytes()) for each in signed]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clients.list"


def test_what_lies_in_the_stream_is_kept_once_and_what_does_not_fit_is_told(path: Path) -> None:
    made, other = entries(3), entries(1)
    with ListFile.held(empty(), path) as file:
        there = [
            file.take(each)
            for each in (
                Logged("parties", b"x"),
                *logged(made[0]),
                Logged("clients", b"junk"),
                *logged(other[0], made[1], made[0]),
            )
        ]
        assert there == [None, made[0], None, None, made[1], made[0]]
        assert [("no signed entry" in text, "fork" in text) for text in file.refused] == [
            (True, False),
            (False, True),
        ]
        assert file.entries == tuple(made[:2])
    with ListFile.held(empty(), path) as file:
        assert (file.listed.number, file.entries) == (2, tuple(made[:2]))
        file.append(made[2])
    assert path.read_bytes().count(b"\n") == 3
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_rest_of_a_line_that_a_killed_process_left_is_written_over(path: Path) -> None:
    made = entries(2)
    with ListFile.held(empty(), path) as file:
        file.append(made[0])
    with path.open("ab") as torn:
        torn.write(made[1].to_bytes()[:100])
    with ListFile.held(empty(), path) as file:
        assert file.listed.number == 1
        file.append(made[1])
    with ListFile.held(empty(), path) as file:
        assert file.entries == tuple(made)


def test_a_line_that_does_not_check_out_is_named(path: Path) -> None:
    made = entries(2)
    path.write_bytes(made[0].to_bytes() + b"\n" + made[0].to_bytes().replace(b"A", b"B", 1) + b"\n")
    with pytest.raises(ListFileError, match=r"clients.list, line 2"), ListFile.held(empty(), path):
        pass


def test_a_file_that_has_to_be_made_where_nothing_may_be_made_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ListFileError, match="No such file"),
        ListFile.held(empty(), tmp_path / "missing" / "file"),
    ):
        pass


def test_entries_in_another_order_wait_for_those_before(path: Path) -> None:
    """As they lie in a stream that has lost its beginning and was given it again."""
    made = entries(4)
    with ListFile.held(empty(), path) as file:
        for each in logged(made[2], made[3]):
            assert file.take(each) is None
        assert file.missing == range(1, 3)
        for each in logged(made[0], made[1]):
            file.take(each)
        assert (file.missing, file.refused) == (range(5, 0), [])
        assert file.entries == tuple(made)
    with ListFile.held(empty(), path) as file:
        assert file.entries == tuple(made)


def test_one_that_waited_and_follows_another_history_is_told(path: Path) -> None:
    made, other = entries(3), entries(1)
    with ListFile.held(empty(), path) as file:
        for each in logged(made[1], made[2], other[0]):
            file.take(each)
        assert file.entries == (other[0],)
        assert ["fork" in text for text in file.refused] == [True]
        assert file.missing == range(2, 3)


def test_of_what_is_refused_a_little_is_kept_and_the_rest_is_counted(path: Path) -> None:
    with ListFile.held(empty(), path) as file:
        for _ in range(1000):
            file.take(Logged("clients", b"junk"))
        assert (len(file.refused), file.refused_count) == (SHOWN, 1000)


def test_what_was_read_before_is_not_read_again(path: Path) -> None:
    made, listed = entries(3), empty()
    with ListFile.held(listed, path) as file:
        file.append(made[0])
        end = file.end
    with ListFile.held(empty(), path) as other:
        other.append(made[1])
    with ListFile.held(listed, path, start=end) as file:
        assert (file.entries, listed.number) == ((made[1],), 2)
        file.append(made[2])
        assert file.end == path.stat().st_size
    path.write_bytes(made[0].to_bytes() + b"\n")
    with ListFile.held(listed, path, start=file.end) as file:
        assert file.entries == (made[0],)
