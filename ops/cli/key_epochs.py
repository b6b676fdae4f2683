"""`warren key reshare`, `refresh` and `repair`: other shares of a key that stays the same."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.client import RESHARE_TRIES, Client, RequestFailedError
from contracts.keys import EpochBundle, KeyFacts
from contracts.primitives import MAX_PARTIES, DeleteAfter
from contracts.requests import MAX_RESHARE_TRIES
from contracts.results import ReshareResult
from ops.cli.asking import AsJson, Config, RequestId, Timeout, ask
from ops.cli.exits import ExitCode, leave, print_json
from ops.cli.key_rehearsals import rehearse, rehearse_repair
from ops.cli.text import print_fields

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="A key that this client has.")]
Dealers = Annotated[
    list[str] | None,
    typer.Option(
        "--dealer",
        metavar="ID",
        help="Who shall deal, as many as sign now; once for each of them. Else the coordinator "
        "chooses among those that are alive.",
        show_default=False,
    ),
]
FirstEpoch = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="A later epoch than the next one, where some were begun and came to nothing.",
        show_default=False,
    ),
]
Tries = Annotated[
    int,
    typer.Option(min=1, max=MAX_RESHARE_TRIES, help="So many may be begun, one of which is made."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        dir_okay=False,
        help="Keep what proves the new epoch: whoever missed it can be shown this. It is public.",
        show_default=False,
    ),
]
DeletesAfter = Annotated[
    DeleteAfter,
    typer.Option(
        help="When former holders that stay delete their old shares, which sign no more: when the "
        "new one stands in a backup, a day at most, or at once.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Only ask the parties whether they would take part, and begin nothing. Exit 1 if "
        "there are not enough.",
    ),
]


def reshare(
    context: typer.Context,
    key_id: KeyId,
    party: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Who shall hold a share from now on; once for each of them. Else who does now.",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        int | None,
        typer.Option(
            "--threshold",
            "-t",
            min=2,
            max=MAX_PARTIES,
            help="How many shall sign. Else as many as do now.",
            show_default=False,
        ),
    ] = None,
    dealer: Dealers = None,
    first_epoch: FirstEpoch = None,
    tries: Tries = RESHARE_TRIES,
    delete_after: DeletesAfter = DeleteAfter.BACKED_UP,
    dry_run: DryRun = False,
    out: Out = None,
    timeout: Timeout = None,
    request_id: RequestId = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Give a key to other parties, or have more or fewer of them sign. Its public key stays.

    Signatures go on meanwhile. What the new holders prove is verified before anything is shown.

    \b
    Example:
      warren key reshare treasury --party party-2 --party party-3 --party party-4
      warren key reshare treasury --threshold 3 --out treasury.epoch.json
      warren key reshare treasury --threshold 3 --dry-run
    """
    if dry_run:
        return rehearse(
            context,
            lambda client: client.rehearse(
                key_id,
                threshold=threshold,
                parties=party,
                dealers=dealer,
                first_epoch=first_epoch,
                tries=tries,
            ),
            key_id,
            config=config,
            as_json=as_json,
        )
    _check_out(out, as_json=as_json)
    request_id = request_id or secrets.token_hex(16)
    made = ask(
        context,
        lambda client: client.reshare(
            key_id,
            threshold=threshold,
            parties=party,
            dealers=dealer,
            first_epoch=first_epoch,
            tries=tries,
            delete_after=delete_after,
            timeout_s=timeout,
            request_id=request_id,
        ),
        config=config,
        as_json=as_json,
        waiting=f"The parties make new shares of key {key_id} ...",
        request_id=request_id,
    )
    return _show(made, out, as_json=as_json, request_id=request_id)


def refresh(
    context: typer.Context,
    key_id: KeyId,
    dealer: Dealers = None,
    first_epoch: FirstEpoch = None,
    tries: Tries = RESHARE_TRIES,
    delete_after: DeletesAfter = DeleteAfter.BACKED_UP,
    dry_run: DryRun = False,
    out: Out = None,
    timeout: Timeout = None,
    request_id: RequestId = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Give a key's parties new shares: what was stolen of the old ones fits them no more.

    A party that lost its share gets one, too, as long as it does not deal: `warren key repair`.

    \b
    Example:
      warren key refresh treasury
    """
    reshare(
        context,
        key_id,
        dealer=dealer,
        first_epoch=first_epoch,
        tries=tries,
        delete_after=delete_after,
        dry_run=dry_run,
        out=out,
        timeout=timeout,
        request_id=request_id,
        config=config,
        as_json=as_json,
    )


def repair(
    context: typer.Context,
    key_id: KeyId,
    party: Annotated[
        str,
        typer.Option(metavar="ID", help="Which holder's share is lost. It deals none, and gets."),
    ],
    first_epoch: FirstEpoch = None,
    tries: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_RESHARE_TRIES,
            help="So many sets of dealers may be asked, where one of them is away or refuses.",
        ),
    ] = RESHARE_TRIES,
    delete_after: DeletesAfter = DeleteAfter.BACKED_UP,
    dry_run: DryRun = False,
    out: Out = None,
    timeout: Timeout = None,
    request_id: RequestId = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Give a party a share again that it has lost. The others deal, and all get new ones.

    \b
    Example:
      warren key repair treasury --party party-2
    """
    if dry_run:
        return rehearse_repair(
            context,
            key_id,
            party,
            first_epoch=first_epoch,
            tries=tries,
            config=config,
            as_json=as_json,
        )
    _check_out(out, as_json=as_json)
    request_id = request_id or secrets.token_hex(16)
    avoided: set[str] = set()
    for number in range(tries):
        repairing = _Repair(
            key_id=key_id,
            party=party,
            avoided=frozenset(avoided),
            first_epoch=first_epoch,
            number=number,
            last=number == tries - 1,
            delete_after=delete_after,
            timeout_s=timeout,
            request_id=request_id,
        )
        made = ask(
            context,
            repairing.ask,
            config=config,
            as_json=as_json,
            waiting=f"The others make new shares of key {key_id} for {party} and themselves ...",
            request_id=request_id,
        )
        if isinstance(made, ReshareResult):
            return _show(made, out, as_json=as_json, request_id=request_id)
        avoided |= made
        request_id = secrets.token_hex(16)
    raise AssertionError("the last try returns no dealers to avoid")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repair:
    """One try to give a party its share again.

    Attributes:
        avoided: Who failed as a dealer in the tries before.
        number: Of the try, from 0: each has an epoch of its own.
        last: What it fails by is the command's failure.
    """

    key_id: str
    party: str
    avoided: frozenset[str]
    first_epoch: int | None
    number: int
    last: bool
    delete_after: DeleteAfter
    timeout_s: float | None
    request_id: str

    async def ask(self, client: Client) -> ReshareResult | set[str]:
        """Returns what was made, or which dealers to do without in another try. Raises ValueError
        if nobody can deal."""
        (key,) = await client.keys(self.key_id)
        facts = key.facts
        dealers = self._dealers(facts)
        first = facts.epoch + 1 if self.first_epoch is None else self.first_epoch
        try:
            return await client.reshare(
                self.key_id,
                dealers=dealers,
                first_epoch=first + self.number,
                tries=1,
                delete_after=self.delete_after,
                timeout_s=self.timeout_s,
                request_id=self.request_id,
            )
        except RequestFailedError as error:
            failure = error.failure
            failing = {*failure.silent, *failure.culprits} & set(dealers)
            spare = len(facts.holders) - 1 - len(self.avoided | failing) >= facts.threshold
            # Without a receiver there is no epoch, whoever deals.
            if self.last or not failing or not spare or not set(failure.silent) <= failing:
                raise
            return failing

    def _dealers(self, facts: KeyFacts) -> list[str]:
        names = _names(facts)
        if self.party not in names:
            raise ValueError(
                f"{self.party} holds no share of key {facts.key_id}; {', '.join(names)} do"
            )
        others = [name for name in names if name != self.party]
        if len(others) < facts.threshold:
            raise ValueError(
                f"{facts.threshold} shares of key {facts.key_id} make another one, and without "
                f"{self.party} there are {len(others)}: its share can come from its backup only"
            )
        # In the order of the key, those that failed last.
        return sorted(others, key=self.avoided.__contains__)[: facts.threshold]


def _check_out(out: Path | None, *, as_json: bool) -> None:
    """Before anything is asked: a key should not be moved for a proof that has no place."""
    if out is not None and not out.absolute().parent.is_dir():
        text = f"There is no folder {out.absolute().parent} for the proof."
        leave(ExitCode.USAGE, "usage", text, as_json=as_json)


def _kept(bundle: EpochBundle, out: Path) -> str | None:
    """Returns why it could not be kept, if it could not."""
    try:
        out.write_text(bundle.model_dump_json() + "\n", encoding="utf-8")
    except OSError as error:
        return (
            f"The key has its new shares, but their proof was not written to {out} "
            f"({error.strerror}). It stands in the output: keep it."
        )
    return None


def _show(made: ReshareResult, out: Path | None, *, as_json: bool, request_id: str) -> None:
    bundle = made.bundle
    assert bundle is not None  # the client has checked it
    unkept = None if out is None else _kept(bundle, out)
    if as_json:
        shown = _as_json(made, bundle) | {"request_id": request_id}
        if unkept is not None:
            leave(ExitCode.FAILED, "not_written", unkept, as_json=True, **shown)
        print_json(shown)
        return
    before, facts = bundle.predecessor.facts, bundle.key.facts
    reshared = facts.reshared
    assert reshared is not None
    fields = {
        "key": facts.key_id,
        "public key": f"{facts.public_key.hex()}, as before",
        "epoch": f"{facts.epoch}, dealt from {before.epoch} by {', '.join(reshared.dealers)}",
        "threshold": f"any {facts.threshold} of {facts.party_count} parties sign",
        "holders": ", ".join(_names(facts)),
        "certificates": f"{len(bundle.key.certificates)} of {facts.party_count}, verified",
        "signs from": _moment(made.signs_from or made.finished_at),
        **_shown_out(before, facts),
    }
    if out is not None and unkept is None:
        fields["proof"] = str(out)
    print_fields(fields)
    if unkept is not None:
        typer.echo(bundle.model_dump_json())
        leave(ExitCode.FAILED, "not_written", unkept, as_json=False)


def _shown_out(before: KeyFacts, facts: KeyFacts) -> dict[str, str]:
    """What revocation promises, where somebody is shown out or more have to sign."""
    leavers = [name for name in _names(before) if name not in _names(facts)]
    if not leavers and facts.threshold <= before.threshold:
        return {}
    deleters = before.party_count - before.threshold + 1
    promise = (
        f"the old shares sign no more once {deleters} of the {before.party_count} former holders "
        "have deleted theirs, backups included; `warren key history` tells which have"
    )
    return {"shown out": ", ".join(leavers) or "nobody", "": promise}


def _names(facts: KeyFacts) -> list[str]:
    return [holder.party_id for holder in facts.holders]


def _moment(at_ms: int) -> str:
    return (
        f"{datetime.fromtimestamp(at_ms / 1000, UTC):%F %T} UTC; until then the holders of before"
    )


def _as_json(made: ReshareResult, bundle: EpochBundle) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(bundle.key.facts.model_dump_json())
    return facts | {
        "from_epoch": bundle.predecessor.facts.epoch,
        "signs_from": made.signs_from,
        "bundle": json.loads(bundle.model_dump_json()),
    }
