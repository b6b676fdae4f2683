"""`warren key`: make keys and look at them."""

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

import typer

from contracts import wallets
from contracts.client import Client
from contracts.derivation import format_path, parse_path
from contracts.errors import ContractError
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import MAX_PARTIES, Curve, Scheme
from contracts.verification import child
from ops.cli.addresses import addresses
from ops.cli.asking import AsJson, Config, RequestId, Timeout, ask
from ops.cli.exits import IN_WORDS, ExitCode, leave, print_json
from ops.cli.key_epochs import refresh, repair, reshare
from ops.cli.key_history import history, retire
from ops.cli.text import print_fields, print_table

app = typer.Typer(no_args_is_help=True, help="Make keys that no machine ever holds; list them.")

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="1 to 64 of A-Z a-z 0-9 _ -")]


@app.command(epilog=IN_WORDS)
def create(
    context: typer.Context,
    key_id: KeyId,
    curve: Annotated[Curve, typer.Option(help="What the signatures are to be verified with.")],
    threshold: Annotated[
        int, typer.Option("--threshold", "-t", min=2, max=MAX_PARTIES, help="How many sign.")
    ] = 2,
    parties: Annotated[
        int | None,
        typer.Option(
            "--parties",
            "-n",
            min=2,
            max=MAX_PARTIES,
            help="How many hold a share: 3, or as many as --party names.",
            show_default=False,
        ),
    ] = None,
    party: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Who shall hold a share; once for each of them. Else the coordinator chooses.",
            show_default=False,
        ),
    ] = None,
    scheme: Annotated[
        list[Scheme] | None,
        typer.Option(
            help="What the key may sign, and nothing else for ever; once for each. Else all that "
            "its curve has.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = None,
    request_id: RequestId = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key: every party gets a share, none the key.

    The certificates of all parties are verified before anything is shown.

    \b
    Example:
      warren key create treasury --curve ed25519 --threshold 2 --parties 3
      warren key create coins --curve secp256k1 --scheme ecdsa
    """
    schemes = sorted(set(scheme)) if scheme else None
    if foreign := [each for each in schemes or [] if each.curve is not curve]:
        own = ", ".join(sorted(each for each in Scheme if each.curve is curve))
        text = f"A key on {curve} signs in {own} only, and --scheme names {', '.join(foreign)}."
        leave(ExitCode.USAGE, "usage", text, as_json=as_json)
    request_id = request_id or secrets.token_hex(16)
    party_count = parties or (len(party) if party else 3)
    key = ask(
        context,
        lambda client: client.create_key(
            key_id,
            curve=curve,
            threshold=threshold,
            party_count=party_count,
            parties=party,
            schemes=schemes,
            timeout_s=timeout,
            request_id=request_id,
        ),
        config=config,
        as_json=as_json,
        waiting=f"{party_count} parties make key {key_id} ...",
        request_id=request_id,
    )
    _print_key(key, as_json=as_json, request_id=request_id)


@app.command("list", epilog=IN_WORDS)
def list_(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """List this client's keys.

    \b
    Example:
      warren key list --json | jq -r '.keys[].key_id'
    """

    async def look(client: Client) -> tuple[list[CertifiedKey], Mapping[str, str]]:
        return await client.keys(), client.doubted

    keys, doubted = ask(
        context,
        look,
        config=config,
        as_json=as_json,
        waiting="Asking for the keys ...",
    )
    if as_json:
        print_json({"keys": [_as_json(key) for key in keys], "doubted": dict(doubted)})
        return
    for key_id, why in doubted.items():
        typer.secho(f"! key {key_id} is not shown: {why}", fg="red", err=True)
    if not keys:
        typer.echo("This client has no keys yet: warren key create KEY_ID --curve ed25519")
    else:
        print_table(
            ("KEY", "CURVE", "SIGN", "PUBLIC KEY"),
            [
                (
                    key.facts.key_id,
                    key.facts.curve,
                    f"{key.facts.threshold} of {key.facts.party_count}",
                    key.facts.public_key.hex(),
                )
                for key in keys
            ],
        )


@app.command(epilog=IN_WORDS)
def show(
    context: typer.Context, key_id: KeyId, config: Config = None, as_json: AsJson = False
) -> None:
    """Show a key: its public key and addresses, its threshold, who holds the shares.

    The certificates of all parties are verified before anything is shown.

    \b
    Example:
      warren key show treasury
    """
    _print_key(_find(context, key_id, config=config, as_json=as_json), as_json=as_json)


@app.command(epilog=IN_WORDS)
def derive(
    context: typer.Context,
    key_id: KeyId,
    path: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="BIP-32, from the key on, not hardened; m is the key itself."
        ),
    ],
    network: Annotated[
        wallets.Network, typer.Option(help="Bitcoin's, that the addresses are for.")
    ] = "mainnet",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Derive the child of a secp256k1 key: its public key and addresses.

    The certificates of all parties are verified before anything is shown. Whoever asks for a
    signature at the same path gets one of this child.

    \b
    Example:
      warren key derive coins --path m/44/60/0/0/0
    """
    try:
        steps = parse_path(path)
    except ContractError as error:
        _refuse(error, as_json=as_json)
    facts = _find(context, key_id, config=config, as_json=as_json).facts
    try:
        derived = child(facts, format_path(steps))
    except ContractError as error:
        _refuse(error, as_json=as_json)
    fields = {
        "key_id": facts.key_id,
        "path": format_path(steps),
        "network": network,
        "public_key": derived.public_key.hex(),
        "chain_code": derived.chain_code.hex(),
        "xpub": wallets.xpub(derived, network=network),
        "ethereum": wallets.ethereum_address(derived.public_key),
        "bitcoin_p2wpkh": wallets.bitcoin_p2wpkh(derived.public_key, network=network),
        "bitcoin_p2tr": wallets.bitcoin_p2tr(derived.public_key, network=network),
    }
    if as_json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})


app.command(epilog=IN_WORDS)(reshare)
app.command(epilog=IN_WORDS)(refresh)
app.command(epilog=IN_WORDS)(repair)
app.command(epilog=IN_WORDS)(history)
app.command(epilog=IN_WORDS)(retire)


def _refuse(error: ContractError, *, as_json: bool) -> NoReturn:
    text = str(error)
    leave(ExitCode.USAGE, "usage", f"{text[0].upper()}{text[1:]}.", as_json=as_json)


def _find(context: typer.Context, key_id: str, *, config: Config, as_json: AsJson) -> CertifiedKey:
    keys = ask(
        context,
        lambda client: client.keys(only=key_id),
        config=config,
        as_json=as_json,
        waiting=f"Asking for key {key_id} ...",
    )
    if not keys:
        text = f"This client has no key {key_id}."
        leave(ExitCode.FAILED, "failed", text, as_json=as_json, code="unknown_key")
    return keys[0]


def _print_key(key: CertifiedKey, *, as_json: bool, **more: str) -> None:
    if as_json:
        print_json(_as_json(key) | more)
        return
    facts = key.facts
    fields = {
        "key": facts.key_id,
        "owner": _owner(facts),
        "curve": facts.curve.value,
        "purposes": ", ".join(facts.purposes) + ("" if facts.schemes else " (all of its curve)"),
        "origin": facts.origin or "generated",
        "public key": facts.public_key.hex(),
        **{name.replace("_", " "): value for name, value in addresses(facts).items()},
        "threshold": f"any {facts.threshold} of {facts.party_count} parties sign",
        "holders": ", ".join(holder.party_id for holder in facts.holders),
        "certificates": f"{len(key.certificates)} of {facts.party_count}, verified",
        "session": facts.session_id.hex(),
    }
    print_fields(fields)


def _owner(facts: KeyFacts) -> str:
    client = facts.client_id or "(a client without an id)"
    if facts.version == 1:
        return f"{client}; its certificates are of before they told the tenant"
    return client if facts.tenant is None else f"{client}, tenant {facts.tenant}"


def _as_json(key: CertifiedKey) -> dict[str, Any]:
    facts = key.facts.model_dump(mode="json")
    return facts | {
        "party_count": key.facts.party_count,
        "purposes": key.facts.purposes,
        "addresses": addresses(key.facts),
        "certificates": key.model_dump(mode="json")["certificates"],
    }
