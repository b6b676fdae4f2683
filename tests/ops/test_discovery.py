"""Where the services come from: every combination of what a machine may offer."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest

from ops.stack import containers, discovery
from ops.stack.discovery import Choice, Facts, Source, choose
from ops.stack.errors import MissingServiceError, StackError

PROGRAMS = Path("/programs")

# The rule for one service, once; held against every combination of both.
EXPECTED = {
    (given, docker, local, apt): (
        Source.GIVEN
        if given
        else Source.CONTAINER
        if docker
        else Source.LOCAL
        if local
        else Source.INSTALL
        if apt
        else None
    )
    for given, docker, local, apt in product([False, True], repeat=4)
}


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("apt", [False, True])
def test_each_service_takes_the_first_source_that_works(docker: bool, apt: bool) -> None:
    for broker_given, broker_local, database_given, database_local in product(
        [False, True], repeat=4
    ):
        facts = Facts(
            amqp_url=broker_given,
            management_url=broker_given,
            database_url=database_given,
            docker=docker,
            rabbitmq=PROGRAMS if broker_local else None,
            postgres=PROGRAMS if database_local else None,
            apt=apt,
        )
        broker = EXPECTED[broker_given, docker, broker_local, apt]
        database = EXPECTED[database_given, docker, database_local, apt]
        if broker is None or database is None:
            with pytest.raises(MissingServiceError):
                choose(facts)
        else:
            assert choose(facts) == Choice(broker, database)


def test_an_url_wins_over_everything_and_nothing_means_nothing() -> None:
    assert EXPECTED[True, True, True, True] is Source.GIVEN
    assert EXPECTED[False, True, True, True] is Source.CONTAINER
    assert EXPECTED[False, False, True, True] is Source.LOCAL
    assert EXPECTED[False, False, False, True] is Source.INSTALL
    assert EXPECTED[False, False, False, False] is None


@pytest.mark.parametrize("docker", [False, True])
def test_tls_takes_private_nodes_whatever_an_engine_has(docker: bool) -> None:
    facts = Facts(docker=docker, rabbitmq=PROGRAMS, postgres=PROGRAMS)
    assert choose(facts, tls=True) == Choice(Source.LOCAL, Source.LOCAL)


@pytest.mark.parametrize(
    "given", [{"amqp_url": True, "management_url": True}, {"database_url": True}]
)
def test_tls_is_not_for_services_that_are_given(given: dict[str, bool]) -> None:
    facts = Facts(rabbitmq=PROGRAMS, postgres=PROGRAMS, **given)
    with pytest.raises(StackError, match="services of its own"):
        choose(facts, tls=True)


def test_a_missing_broker_is_named_with_what_to_do() -> None:
    with pytest.raises(MissingServiceError) as problem:
        choose(Facts(database_url=True))
    for word in ("rabbitmq-server", "Docker", "WARREN_AMQP_URL", "WARREN_MANAGEMENT_URL"):
        assert word in str(problem.value)


def test_a_missing_database_is_named_with_what_to_do() -> None:
    with pytest.raises(MissingServiceError) as problem:
        choose(Facts(rabbitmq=PROGRAMS))
    for word in ("postgresql", "Docker", "WARREN_DATABASE_URL"):
        assert word in str(problem.value)


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        (Facts(amqp_url=True, database_url=True), "WARREN_MANAGEMENT_URL is not set"),
        (Facts(management_url=True, database_url=True), "WARREN_AMQP_URL is not set"),
    ],
)
def test_half_a_broker_is_an_error_even_where_docker_would_do(facts: Facts, missing: str) -> None:
    with pytest.raises(StackError, match=missing):
        choose(facts)


def test_facts_show_that_an_url_is_there_and_never_the_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(containers, "engine_answers", lambda: False)
    facts = discovery.probe({"WARREN_AMQP_URL": "amqp://u:hunter2@h/", "WARREN_DATABASE_URL": ""})
    assert facts.amqp_url
    assert not facts.database_url
    assert "hunter2" not in repr(facts)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("WARREN_AMQP_URL", "http://u:hunter2@h/"),
        ("WARREN_MANAGEMENT_URL", "u:hunter2@h"),
        ("WARREN_MANAGEMENT_URL", "http://u:hunter2@h:port"),
        ("WARREN_DATABASE_URL", "mysql://u:hunter2@h/"),
        ("WARREN_DATABASE_URL", "hunter2"),
    ],
)
def test_an_url_that_cannot_be_meant_is_named_before_anything_starts(
    variable: str, url: str
) -> None:
    with pytest.raises(StackError, match=f"{variable}: not like") as problem:
        discovery.probe({variable: url})
    assert "hunter2" not in str(problem.value)


def test_docker_is_not_asked_when_all_urls_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter([True])
    monkeypatch.setattr(containers, "engine_answers", lambda: next(asked))
    given = {
        "WARREN_AMQP_URL": "amqp://broker/",
        "WARREN_MANAGEMENT_URL": "http://broker:15672",
        "WARREN_DATABASE_URL": "postgresql://server/",
    }
    assert not discovery.probe(given).docker
    assert discovery.probe({}).docker


def test_apt_is_for_root_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(containers, "engine_answers", lambda: False)
    program(tmp_path / "apt-get")
    monkeypatch.setenv("PATH", str(tmp_path))
    for uid, expected in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert discovery.probe({}).apt is expected
    (tmp_path / "apt-get").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert discovery.probe({}).apt is False


def test_no_docker_engine_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    assert containers.engine_answers() is False


def test_a_folder_of_programs_can_be_named(tmp_path: Path) -> None:
    program(tmp_path / "rabbitmq-server")
    program(tmp_path / "postgres")
    named = {"WARREN_RABBITMQ_SBIN": str(tmp_path), "WARREN_POSTGRES_BIN": str(tmp_path)}
    assert discovery.rabbitmq_programs(named) == tmp_path
    assert discovery.postgres_programs(named) == tmp_path


def test_a_named_folder_without_the_program_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("not a program")
    with pytest.raises(StackError, match=r"WARREN_RABBITMQ_SBIN is .* no program rabbitmq-server"):
        discovery.rabbitmq_programs({"WARREN_RABBITMQ_SBIN": str(tmp_path)})
    with pytest.raises(StackError, match=r"WARREN_POSTGRES_BIN is .* no program postgres"):
        discovery.postgres_programs({"WARREN_POSTGRES_BIN": str(tmp_path)})


def program(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
