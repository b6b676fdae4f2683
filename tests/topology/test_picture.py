"""The table of the documentation: who may do what with which exchange and queue."""

from __future__ import annotations

from xml.etree import ElementTree

from topology import declared
from topology.matrix import acts, keys_at, temporary_queues
from topology.model import Members
from topology.picture import LETTERS, as_svg, as_table, picture
from topology.rights import AMQP_VERBS, HTTP_VERBS

DECLARED = declared(Members(parties=("p1",), clients=("svcA",), legacy_clients=("old",)))


def cells() -> dict[str, dict[str, str]]:
    """By name of an exchange or queue, then by user."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in as_table(picture(DECLARED)).splitlines()
    ]
    heads = [head.replace("`", "") for head in rows[0][1:]]
    return {row[0].strip("`"): dict(zip(heads, row[1:], strict=True)) for row in rows[2:]}


def test_the_picture_has_a_row_for_everything_and_a_column_for_everybody() -> None:
    table = cells()
    names = {one.name for one in DECLARED.governed()} | {*temporary_queues(DECLARED)}
    assert set(table) == names | {"amq.default"}
    assert {tuple(row) for row in table.values()} == {
        ("client svcA", "coordinator", "legacy client old", "operator", "party p1", "registrar")
    }


def test_the_picture_says_who_reads_publishes_binds_and_taps() -> None:
    table = cells()
    assert table["warren.results.svcA"]["client svcA"] == "R"
    assert table["warren.results.svcA"]["coordinator"] == ""
    assert table["warren.cancel"] == {
        "client svcA": "",
        "coordinator": "P T",
        "legacy client old": "",
        "operator": "",
        "party p1": "T",
        "registrar": "",
    }
    assert table["warren.lists"]["registrar"] == "P"
    assert {user for user, cell in table["warren.lists.log"].items() if cell == "R"} == {
        "client svcA",
        "coordinator",
        "party p1",
        "registrar",
    }
    assert table["warren.cancel.p1.x1"]["party p1"] == "D R B"
    assert table["warren.reports"]["party p1"] == "B P A"
    assert {user for user, cell in table["amq.default"].items() if cell} == {"operator"}


def test_the_matrix_tries_every_verb_and_a_key_for_each_pattern() -> None:
    user = DECLARED.user_of("party", "p1")
    tried = list(acts(DECLARED, user, DECLARED.users[:2]))
    assert {act.verb for act in tried} == {*AMQP_VERBS, *HTTP_VERBS}
    assert keys_at(DECLARED, "warren.reports") == ("x1.p1", "of.nobody")
    assert len(set(map(str, tried))) == len(tried) > 900
    assert {act.key for act in tried if act.name == "warren.reports" and act.verb == "publish"} == {
        "x1.p1",
        "of.nobody",
    }


def test_the_drawing_has_a_box_for_each_letter_of_the_table() -> None:
    told = picture(DECLARED)
    drawn = ElementTree.fromstring(as_svg(told))  # noqa: S314
    titles = [each.text or "" for each in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == sum(len(letters) for row in told.rows.values() for letters in row)
    assert "party p1, warren.reports: publishes by any, through an exchange of its own" in titles
    words = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for name in (*told.rows, *told.users, *LETTERS.values()):
        assert words.count(name) == 1, name
    for letter in LETTERS:  # and once in the legend
        assert words.count(letter) == 1 + sum(
            letter in letters for row in told.rows.values() for letters in row
        )
