"""Where entries of the list of clients are signed: never two of one number, whatever becomes of the
first."""

from __future__ import annotations

import asyncio
import contextlib
import tomllib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from contracts import list_log
from contracts.client_list import Action, ClientKey, ClientList
from contracts.identity import Identity
from contracts.list_file import ListFile
from contracts.list_log import Logged
from contracts.numbered_lists import ListOperator, SignedEntry
from ops.registrar import counter
from ops.registrar.counter import Counter
from ops.registrar.desk import Desk, Given, Wish
from ops.registrar.errors import HeldError, RefusedError
from ops.registrar.handover import Login, write_file
from ops.registrar.intents import Intent, Intents
from ops.registrar.settings import Configured, RegistrarSettings
from topology import members_file
from topology.model import Ref, User
from topology.passwords import write_secret

OPERATOR, RIVAL = Identity.generate(), Identity.generate()
OPERATORS = (ListOperator(OPERATOR.public), ListOperator(RIVAL.public))


class CutError(Exception):
    """As by a kill."""


class Stream:
    """What lies at the broker.

    Attributes:
        cut: Nothing arrives, and whoever publishes is cut short.
        hidden: Is confirmed, and not shown.
        seen: All that anybody has published, to be shown to whom the broker likes.
    """

    def __init__(self) -> None:
        self.lies: list[SignedEntry] = []
        self.seen: list[SignedEntry] = []
        self.cut = self.hidden = False

    async def publish(self, _connection: Any, _name: str, entries: Iterable[SignedEntry]) -> None:
        for entry in entries:
            self.seen.append(entry)
            if self.cut:
                raise CutError
            if not self.hidden:
                self.lies.append(entry)

    async def read_to_end(self, _connection: Any) -> AsyncIterator[Logged]:
        for entry in list(self.lies):
            yield Logged("clients", entry.to_bytes())


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    async def connected(_address: str) -> Any:
        return contextlib.nullcontext()

    made = Stream()
    monkeypatch.setattr(list_log, "publish", made.publish)
    monkeypatch.setattr(list_log, "read_to_end", made.read_to_end)
    monkeypatch.setattr(counter, "connect", connected)
    return made


class Broker:
    """What a desk has done to a client there.

    Attributes:
        in_hand: So many results its last connection gives back when it is closed, which is after
            the broker has said that the login is gone.
    """

    def __init__(self) -> None:
        self.in_hand = 0
        self.expelled: list[str] = []
        self.deleted: list[str] = []
        self.disowned: set[Ref] = set()
        self.given_back = 0

    async def waiting(self, queue: str) -> int:
        return self.given_back if queue.startswith("warren.results.") else 0

    async def expel(self, user: User) -> None:
        self.expelled.append(user.name)
        asyncio.get_running_loop().call_soon(setattr, self, "given_back", self.in_hand)

    async def delete_queue(self, queue: str) -> None:
        self.deleted.append(queue)

    async def disown(self, refs: Iterable[Ref]) -> None:
        self.disowned |= set(refs)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()

    @contextlib.asynccontextmanager
    async def registrar(_desk: Desk, _credentials: Any = None) -> AsyncIterator[Broker]:
        yield made

    monkeypatch.setattr(Desk, "_registrar", registrar)
    return made


def settings(folder: Path, operator: Identity = OPERATOR, **more: Any) -> RegistrarSettings:
    members = folder / "members.yaml"
    if not members.exists():
        members.write_text("parties: [p1]\nclients: [svcA]\n")
    values: dict[str, Any] = {
        "operator": operator,
        "operators": OPERATORS,
        "list_file": folder / "clients.list",
        "party_list_file": folder / "parties.list",
        "members_file": members,
        "amqp_url": "amqp://nobody@127.0.0.1:1/none",
        "management_url": "http://127.0.0.1:1",
        "clients_amqp_url": "amqp://127.0.0.1:1/none",
        "vhost": "warren",
        "topology": None,
        "secrets": folder / "secrets",
        "trusted": {},
        "configured": {},
        "parties": {},
    }
    return RegistrarSettings(**(values | more))


@contextlib.asynccontextmanager
async def opened(own: RegistrarSettings) -> AsyncIterator[Counter]:
    listed = ClientList(own.operators)
    with ListFile.held(listed, own.list_file) as file:
        made = Counter(own, listed, file)
        await made.agree()
        yield made


async def put(own: RegistrarSettings, client_id: str) -> int:
    key = ClientKey(public_key=Identity.generate().public.der)
    async with opened(own) as made:
        return await made.put(client_id, (key,), None)


def names(folder: Path, ending: str) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.endswith(ending)]


def bodies(entries: Iterable[SignedEntry]) -> set[tuple[int, bytes]]:
    """Numbers with what was signed of them."""
    listed = ClientList(OPERATORS)
    return {(listed._opened(each).number, each.body) for each in entries}


async def test_what_was_signed_before_a_cut_is_published_and_nothing_else_in_its_place(
    tmp_path: Path, stream: Stream
) -> None:
    """The broker has seen the first entry. Had it another one of its number, it could give each
    follower the one it likes."""
    own = settings(tmp_path)
    stream.cut = True
    with pytest.raises(CutError):
        await put(own, "svcC")
    stream.cut = False
    assert await put(own, "svcD") == 2
    assert len(bodies(stream.seen)) == 2
    async with opened(own) as made:
        assert [each.client_id for each in made.listed.clients()] == ["svcC", "svcD"]


async def test_what_the_broker_confirms_and_does_not_show_is_held_and_comes_again(
    tmp_path: Path, stream: Stream
) -> None:
    own = settings(tmp_path)
    stream.hidden = True
    for client_id in ("svcC", "svcD"):
        with pytest.raises(HeldError, match="entry 1 and does not show it"):
            await put(own, client_id)
    stream.hidden = False
    assert await put(own, "svcD") == 2
    assert len(bodies(stream.seen)) == 2
    assert not names(tmp_path, ".signed")


async def test_an_entry_whose_number_another_operator_took_is_given_up(
    tmp_path: Path, stream: Stream
) -> None:
    own = settings(tmp_path)
    stream.cut = True
    with pytest.raises(CutError):
        await put(own, "svcC")
    stream.cut = False
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert await put(settings(elsewhere, RIVAL), "svcR") == 1
    assert await put(own, "svcC") == 2
    async with opened(own) as made:
        assert [each.client_id for each in made.listed.clients()] == ["svcC", "svcR"]
    assert not names(tmp_path, ".signed")


async def test_a_broker_that_lost_the_beginning_gets_all_of_it_in_its_order(
    tmp_path: Path, stream: Stream
) -> None:
    """Whoever is new reads it once, from the beginning."""
    own = settings(tmp_path)
    for number in range(4):
        await put(own, f"svc{number}")
    del stream.lies[:2]
    async with opened(own):
        pass
    listed = ClientList(OPERATORS)
    for each in stream.lies:
        with contextlib.suppress(ValueError):
            listed.take(each)
    assert listed.number == 4


async def test_nobody_signs_without_the_entries_before(tmp_path: Path, stream: Stream) -> None:
    """The file is lost, and the broker has only the end."""
    own = settings(tmp_path)
    for number in range(4):
        await put(own, f"svc{number}")
    del stream.lies[:2]
    own.list_file.rename(tmp_path / "kept")
    before = len(stream.seen)
    with pytest.raises(RefusedError, match=r"entries 1 to 2 .* would make a fork"):
        await put(own, "svcX")
    assert len(stream.seen) == before
    (tmp_path / "kept").rename(own.list_file)
    assert await put(own, "svcX") == 5


async def test_a_client_of_the_followers_files_is_not_given_another_key_by_add(
    tmp_path: Path, stream: Stream
) -> None:
    """Whoever had it could use the keys of the client."""
    theirs = Configured((Identity.generate().public,), None)
    own = settings(tmp_path, configured={"svcB": theirs})
    desk = Desk(own)
    with pytest.raises(RefusedError, match="svcB is a client already"):
        await desk.add(Wish(client_id="svcB", out=tmp_path))
    with pytest.raises(RefusedError, match="this is the key of svcB"):
        await desk.add(Wish(client_id="svcb", out=tmp_path, public_key=theirs.keys[0]))
    with pytest.raises(RefusedError, match="this is an operator's key"):
        await desk.add(Wish(client_id="svcC", out=tmp_path, public_key=RIVAL.public))
    assert stream.seen == []


async def test_a_client_that_only_the_list_has_is_not_said_to_be_nobody(
    tmp_path: Path, stream: Stream
) -> None:
    """The members file is one of before, or another operator's; its key counts everywhere."""
    own = settings(tmp_path)
    await put(own, "svcX")
    with pytest.raises(RefusedError, match=r"svcX is in the list and not in .*members\.yaml"):
        await Desk(own).remove("svcX")
    with pytest.raises(RefusedError, match="there is no client svcY"):
        await Desk(own).remove("svcY")
    assert len(stream.seen) == 1


async def test_a_client_that_only_the_members_have_is_not_sent_from_add_to_rotate_and_back(
    tmp_path: Path, stream: Stream
) -> None:
    own = settings(tmp_path)
    with pytest.raises(RefusedError, match=r"already, among clients, and its key is neither"):
        await Desk(own).add(Wish(client_id="svcA", out=tmp_path))
    assert stream.seen == []


def begun(own: RegistrarSettings, **changes: Any) -> Intent:
    made = Intent.model_validate(
        {"action": "add", "client_id": "svcC", "group": "gateways", "operations": ("sign",)}
        | changes
    )
    Intents(own.list_file).keep(made)
    return made


async def test_what_was_begun_goes_on_as_it_was_begun(tmp_path: Path, stream: Stream) -> None:
    own = settings(tmp_path)
    begun(own)
    with pytest.raises(RefusedError, match=r"for the gateways; to ask sign\): run it again"):
        await Desk(own).add(Wish(client_id="svcC", out=tmp_path))
    begun(own, public_key=Identity.generate().public.der)
    wish = Wish(client_id="svcC", out=tmp_path, group="gateways", operations=("sign",))
    with pytest.raises(RefusedError, match=r"client-svcC.key is not there: run it again"):
        await Desk(own).add(wish)
    assert not names(tmp_path, ".key")
    assert stream.seen == []


async def test_a_key_of_before_is_not_taken_for_a_new_one(tmp_path: Path, stream: Stream) -> None:
    """Who was removed because its key was seen, and comes again into the same folder."""
    own, key = settings(tmp_path), Identity.generate()
    keys = (ClientKey(public_key=key.public.der),)
    async with opened(own) as made:
        await made.put("svcC", keys, None)
        await made.remove("svcC")
    write_secret(tmp_path / "client-svcC.key", key.to_base64())
    with pytest.raises(RefusedError, match=r"client-svcC.key was in use before"):
        await Desk(own).add(Wish(client_id="svcC", out=tmp_path, again=True))
    assert len(stream.seen) == 2


async def test_a_rotation_that_was_cut_short_is_not_finished(
    tmp_path: Path, stream: Stream
) -> None:
    """The new file may not be there yet, and the old login would be gone."""
    own = settings(tmp_path)
    await put(own, "svcA")
    begun(own, action="rotate", client_id="svcA", group="", operations=None, login=2)
    with pytest.raises(RefusedError, match=r"rotate svcA` was begun and not ended: run it again"):
        await Desk(own).finish("svcA")
    assert len(stream.seen) == 1


async def rotated(own: RegistrarSettings, monkeypatch: pytest.MonkeyPatch, **wish: Any) -> Given:
    async def admitted(*_: object) -> Login:
        return Login(user="warren.client.svcA.2", kept="hush")

    monkeypatch.setattr(Desk, "_admit", admitted)
    own.members_file.write_text("parties: [p1]\nclients: [svcA]\n")
    return await Desk(own).rotate(Wish(client_id="svcA", out=own.list_file.parent, **wish))


async def operations_of(own: RegistrarSettings) -> tuple[str, ...] | None:
    listed, _, _ = await Desk(own).look()
    entry = listed.client("svcA")
    assert entry is not None
    return entry.operations


@pytest.mark.parametrize("before", [None, ("sign", "query_keys")])
@pytest.mark.parametrize("named", [None, ("query_keys", "reshare")])
async def test_what_a_client_may_ask_with_another_key_is_what_it_might_or_what_is_said(
    tmp_path: Path,
    stream: Stream,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[str, ...] | None,
    named: tuple[str, ...] | None,
) -> None:
    """Such as reshare is never implied: there has to be a way to it that is not to remove the
    client, and with it its queues."""
    own = settings(tmp_path)
    async with opened(own) as made:
        await made.put("svcA", (ClientKey(public_key=Identity.generate().public.der),), before)
    await rotated(own, monkeypatch, operations=named)
    assert await operations_of(own) == (named or before)
    assert len(broker.expelled) == 0
    await Desk(own).finish("svcA")
    assert await operations_of(own) == (named or before)


async def test_a_rotation_that_was_cut_short_goes_on_with_what_it_was_begun_for(
    tmp_path: Path, stream: Stream, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings(tmp_path)
    await put(own, "svcA")
    begun(own, action="rotate", client_id="svcA", group="", operations=("reshare",), login=2)
    for other in (None, ("reshare", "sign")):
        with pytest.raises(RefusedError, match=r"\(to ask reshare\): run it again first"):
            await rotated(own, monkeypatch, operations=other)
    await rotated(own, monkeypatch, operations=("reshare",))
    assert await operations_of(own) == ("reshare",)


async def test_who_goes_while_a_rotation_was_being_ended_keeps_no_login(
    tmp_path: Path, stream: Stream, broker: Broker
) -> None:
    """`--finish` was cut short: the members file has the newest login alone, the broker both."""
    own = settings(tmp_path)
    await put(own, "svcA")
    members_file.set_logins(own.members_file, "svcA", (2,))
    await Desk(own, settle_s=0).remove("svcA")
    logins = ["warren.client.svcA", "warren.client.svcA.2"]
    assert broker.expelled == logins
    assert {Ref("user", (each,)) for each in logins} <= broker.disowned
    assert len(broker.deleted) == 4


async def test_results_that_come_back_when_its_connection_is_closed_are_kept(
    tmp_path: Path, stream: Stream, broker: Broker
) -> None:
    own = settings(tmp_path)
    await put(own, "svcA")
    broker.in_hand = 3
    with pytest.raises(HeldError, match=r"3 results wait for svcA.* Its login is gone, and its"):
        await Desk(own, settle_s=0).remove("svcA")
    assert broker.deleted == []


def test_no_secret_stands_in_what_is_printed_of_it(tmp_path: Path) -> None:
    own = settings(
        tmp_path,
        amqp_url="amqp://registrar:hush@b/w",
        management_url="http://admin:hush@b",
        clients_amqp_url="amqp://c:hush@b/w",
    )
    told = repr(own) + repr(Desk(own)) + repr(vars(Desk(own)))
    assert "hush" not in told
    assert OPERATOR.to_base64() not in told


def handed_over(folder: Path, login: Login, amqp_url: str) -> dict[str, str]:
    path = folder / "client-svcC.toml"
    write_file(
        path, client_id="svcC", amqp_url=amqp_url, login=login, key=folder / "key", trusted={}
    )
    assert path.stat().st_mode & 0o777 == 0o600
    told: dict[str, str] = tomllib.loads(path.read_text())["client"]
    return told


URL = "amqps://b1:5671,b2:5671/w?cafile=/ca.pem&certfile=/registrar.pem&keyfile=/registrar.key"
URL += "&auth=EXTERNAL"


def test_who_comes_by_a_certificate_gets_its_place_and_not_the_registrars(tmp_path: Path) -> None:
    assert handed_over(tmp_path, Login(user="warren.client.svcC"), URL) == {
        "client_id": "svcC",
        "amqp_url": "amqps://b1:5671,b2:5671/w?cafile=/ca.pem",
        "amqp_certificate_file": "warren.client.svcC.pem",
        "amqp_key_file": "warren.client.svcC.key",
        "private_key_file": "key",
    }


def test_a_new_password_is_handed_over_and_gone_from_where_it_was(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a/b@c\n")
    told = handed_over(tmp_path, Login(user="warren.client.svcC", password=secret), URL)
    expected = "amqps://warren.client.svcC:a%2Fb%40c@b1:5671,b2:5671/w?cafile=/ca.pem"
    assert told["amqp_url"] == expected
    assert not secret.exists()


def test_a_password_that_is_kept_elsewhere_stands_in_the_file_and_in_no_repr(
    tmp_path: Path,
) -> None:
    login = Login(user="u", kept="hush")
    assert handed_over(tmp_path, login, "amqp://b/w")["amqp_url"] == "amqp://u:hush@b/w"
    assert "hush" not in repr(login)


def test_removal_is_an_entry_too() -> None:
    """Of one that the list never named: it stands in the followers' files."""
    listed = ClientList(OPERATORS)
    listed.take(listed.signed(OPERATOR, issued_at=1, action=Action.REMOVE, client_id="svcA"))
    assert listed.names("svcA")
