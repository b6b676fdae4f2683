"""`warren sign`."""

import binascii
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from contracts.derivation import format_path, parse_path
from contracts.errors import ContractError
from contracts.primitives import Scheme
from contracts.requests import SignItem
from contracts.results import SignedItem, SignResult
from contracts.signing import explain
from ops.cli.asking import AsJson, Config, RequestId, Timeout, ask
from ops.cli.exits import IN_WORDS, ExitCode, leave, print_json
from ops.cli.text import print_fields, print_table

app = typer.Typer()


@app.command(epilog=IN_WORDS)
def sign(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Whose signature.")],
    scheme: Annotated[
        Scheme,
        typer.Option(
            help="ed25519: RFC 8032, any message. bip340, ecdsa: a digest of 32 bytes. "
            "secp256k1: RFC 9591's FROST(secp256k1, SHA-256), any message."
        ),
    ],
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A text, as UTF-8.", show_default=False)
    ] = None,
    message_hex: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEX",
            help="Bytes, as hex digits. ecdsa only: once for each of up to 256 digests, which "
            "one session signs, all or none.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="All bytes of a file; - for standard input.",
            show_default=False,
        ),
    ] = None,
    path: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Sign with the child of a secp256k1 key at this place: BIP-32, from the key "
            "on, not hardened; m is the key itself.",
        ),
    ] = "m",
    taproot: Annotated[
        bool,
        typer.Option(
            "--taproot",
            help="bip340 only: sign for the BIP-341 output key of an output without scripts.",
        ),
    ] = False,
    signer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Who shall sign; once for each of them. Else the coordinator chooses.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = None,
    request_id: RequestId = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Have a message signed by as many parties as the key's threshold says.

    The signature is verified under the key, whose certificates are, before it is shown.

    \b
    Examples:
      warren sign treasury --scheme ed25519 --message 'hello'
      warren sign coins --scheme bip340 --taproot --message-hex "$SIGHASH"
      warren sign coins --scheme ecdsa --path m/44/60/0/0/0 --message-hex "$DIGEST"
    """
    messages = _messages(message, message_hex, file)
    child_path = _child_path(path, as_json=as_json)
    request_id = request_id or secrets.token_hex(16)
    waiting = f"Signing with key {key_id} ..."
    if len(messages) == 1:
        result = ask(
            context,
            lambda client: client.sign(
                key_id,
                message=messages[0],
                scheme=scheme,
                derivation_path=child_path,
                taproot_merkle_root=b"" if taproot else None,
                signers=signer,
                timeout_s=timeout,
                request_id=request_id,
            ),
            config=config,
            as_json=as_json,
            waiting=waiting,
            request_id=request_id,
        )
        _print_result(result, as_json=as_json)
        return
    if taproot:
        raise typer.BadParameter("--taproot goes with a single message")
    items = ask(
        context,
        lambda client: client.sign_all(
            key_id,
            _items(messages, child_path),
            scheme=scheme,
            signers=signer,
            timeout_s=timeout,
            request_id=request_id,
        ),
        config=config,
        as_json=as_json,
        waiting=waiting,
        request_id=request_id,
    )
    if as_json:
        shown = [item.model_dump(mode="json") for item in items]
        named = {"request_id": request_id, "key_id": key_id, "scheme": scheme}
        print_json(named | {"items": shown})
    else:
        _print_items(items, scheme, request_id)


def _messages(text: str | None, digits: Sequence[str] | None, file: Path | None) -> list[bytes]:
    if sum(given is not None for given in (text, digits or None, file)) != 1:
        raise typer.BadParameter("give one of --message, --message-hex and --file")
    if text is not None:
        return [text.encode()]
    if digits:
        try:
            return [binascii.unhexlify(each) for each in digits]
        except ValueError:
            raise typer.BadParameter(
                "--message-hex is not an even number of hex digits, without 0x"
            ) from None
    assert file is not None
    try:
        return [sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()]
    except OSError as error:
        raise typer.BadParameter(f"--file {file}: {error.strerror}") from None


def _child_path(text: str, *, as_json: bool) -> str | None:
    """As requests have it; None for the key itself."""
    try:
        steps = parse_path(text)
    except ContractError as error:
        reason = str(error)
        leave(ExitCode.USAGE, "usage", f"{reason[0].upper()}{reason[1:]}.", as_json=as_json)
    return format_path(steps) if steps else None


def _items(messages: Sequence[bytes], path: str | None) -> list[SignItem]:
    """Raises ValueError, with the contract's reason in its text."""
    try:
        return [SignItem(message=each, derivation_path=path) for each in messages]
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def _print_result(result: SignResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    (signed,) = result.signed
    fields = {"signature": signed.signature.hex()}
    if (forms := signed.ecdsa) is not None:
        fields["der"] = forms.der.hex()
        if forms.ethereum is not None:
            fields["ethereum"] = forms.ethereum.hex()
        fields["recovery id"] = str(forms.recovery_id)
    fields["public key"] = signed.public_key.hex()
    if signed.derivation_path is not None:
        fields["path"] = signed.derivation_path
    fields |= {
        "scheme": f"{result.scheme}, verified",
        "signers": ", ".join(result.signers),
        "request": result.request_id,
    }
    print_fields(fields)


def _print_items(items: Sequence[SignedItem], scheme: Scheme, request_id: str) -> None:
    """One line for each; the other forms of its signature are in the JSON."""
    fields = {"public key": items[0].public_key.hex()}  # they all have the same path
    if items[0].derivation_path is not None:
        fields["path"] = items[0].derivation_path
    fields |= {"scheme": f"{scheme}, verified", "request": request_id}
    print_fields(fields)
    typer.echo()
    print_table(("MESSAGE", "SIGNATURE"), [(i.message.hex(), i.signature.hex()) for i in items])
