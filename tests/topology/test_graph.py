from __future__ import annotations

from xml.etree import ElementTree

from topology import declared
from topology.export import export
from topology.graph import as_svg
from topology.model import Members

MEMBERS = Members(
    parties=("p1", "p2"), clients=("svcA",), gateways=("gateway",), legacy_clients=("old",)
)
SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(as_svg(export(declared(MEMBERS), "warren")))  # noqa: S314


def test_every_exchange_queue_and_role_that_sends_or_reads_is_drawn_once() -> None:
    words = [each.text for each in drawn().iter(f"{SVG}text")]
    files = export(declared(MEMBERS), "warren")
    for name in {*files.broker["exchanges"], *files.broker["queues"]}:
        shared = name in files.broker["exchanges"] and name in files.broker["queues"]
        assert words.count(name) == 1 + shared, name
    assert words.count("party") == words.count("coordinator") == 2
    assert "warren.results.{client}" in words
    assert not any("svcA" in (word or "") for word in words)


def test_lines_tell_their_routing_keys() -> None:
    said = {each.text for each in drawn().iter(f"{SVG}title")}
    assert "{id}.{party}" in said
    assert "mpc.signing_request.{client}" in said
    assert "what nobody takes" in said


def test_a_broker_without_anything_is_an_empty_picture() -> None:
    empty = export(declared(Members()), "warren")
    empty.broker = {"exchanges": {}, "queues": {}, "policies": {}}
    empty.roles = {"roles": {}}
    assert as_svg(empty).startswith("<svg")
