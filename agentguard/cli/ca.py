"""``agentguard ca``: the trust domain's certificates; who gets one, who may no longer speak, and joining from here."""

from __future__ import annotations

import dataclasses
import getpass
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentguard.audit import AuditLog
from agentguard.cli.option import HomeOption, JsonOption, duration
from agentguard.cli.output import print_json, print_table, shown
from agentguard.errors import ConfigError, StoreError
from agentguard.store import Home, atomic_file, make_private_folder

if TYPE_CHECKING:
    from agentguard.channel import Authority, Identity, IdentityRecord, SpiffeId

__all__ = ["app"]

app = typer.Typer(help="Identities of agents: the trust domain's own CA.", no_args_is_help=True)

DEFAULT_ADDRESS = "127.0.0.1:8470"
NameArgument = Annotated[str, typer.Argument(help="The agent: NAME, NAME/INSTANCE, or a whole SPIFFE ID.")]
RootKeyOption = Annotated[Path | None, typer.Option("--root-key", help="The root's key, kept outside the folder.")]


@app.command()
def init(
    trust_domain: Annotated[str, typer.Argument(help="For example agents.example.org; part of every identity.")],
    leaf_life: Annotated[str, typer.Option("--leaf-life", help="Life of an agent's certificate, at most 24h.")] = "1h",
    root_key: RootKeyOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Make the CA: a root for a year, and an issuing CA that is replaced by itself before its week is over."""
    from agentguard.channel import Authority

    opened = Home.open(home)
    with _recorded(opened) as record:
        made = Authority.create(
            opened, trust_domain, leaf_s=duration(leaf_life).total_seconds(), root_key=root_key, record=record
        )
    digest = made.root_digest.hex()
    made.close()
    if as_json:
        print_json({"trust_domain": trust_domain, "root_sha256": digest})
    else:
        typer.echo(f"CA of {trust_domain}, root SHA-256 {digest}")
    where = f"keep {root_key} offline; `ca rotate --root-key` needs it every week" if root_key else f"back up {home}/ca"
    typer.echo(where, err=True)


@app.command()
def issue(
    name: NameArgument,
    token: Annotated[bool, typer.Option("--token", help="Print a join token in place of writing files.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for chain.pem, key.pem, bundle.pem.")] = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Give an agent its identity: a token with which it joins from elsewhere, or files for another program."""
    if token == (out is not None):
        raise ConfigError("say --token for a join token, or --out FOLDER for files")
    with _authority(home) as (authority, record):
        spiffe_id = authority.agent_id(name)
        if out is None:
            _print_token(authority, spiffe_id, record, as_json)
        else:
            _write_identity(authority, spiffe_id, out, as_json)


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="What `ca issue NAME --token` printed; - reads it from stdin.")],
    ca: Annotated[str, typer.Option("--ca", help="Where `ca serve` listens: HOST:PORT.")] = DEFAULT_ADDRESS,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Spend a join token on an identity for this folder. The CA is recognised by the hash of its root in the token."""
    from agentguard.channel import JoinToken, Membership

    text = typer.get_text_stream("stdin").readline() if token == "-" else token  # noqa: S105  # stdin, not a secret
    parsed, address = JoinToken.parse(text), _address(ca)
    opened = Home.open(home)
    with _recorded(opened) as record:
        member = Membership.join(opened, parsed, address, record=record)
    identity = member.identity
    if as_json:
        print_json(_described(identity))
    else:
        typer.echo(f"joined as {identity.spiffe_id}, until {_iso(identity.not_after)} and renewed from then on")


@app.command("list")
def list_issued(
    ended: Annotated[bool, typer.Option("--ended", help="Certificates whose time is over, too.")] = False,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Show the CAs, the certificates that were issued, and who is blocked."""
    with _authority(home) as (authority, _):
        cas, leaves, blocks = authority.schedule(), authority.issued(ended=ended), authority.blocks()
    rows = [
        *({"kind": "ca", **dataclasses.asdict(row), "serial": f"{row.serial:x}"} for row in cas),
        *({"kind": "leaf", **dataclasses.asdict(row), "serial": f"{row.serial:x}", "issuer": f"{row.issuer:x}"}
          for row in leaves),
        *({"kind": "block", "target": row.kind, "value": row.value, "reason": row.reason, "at": row.blocked_at}
          for row in blocks),
    ]  # fmt: skip
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table(
        ("CA", "state", "serial", "until"), ((c.role, c.state, f"{c.serial:x}"[:16], _time(c.until)) for c in cas)
    )
    print_table(
        ("identity", "how", "serial", "until", ""),
        (
            (shown(e.spiffe_id), e.how, f"{e.serial:x}", _time(e.not_after), "blocked" if e.blocked else "")
            for e in leaves
        ),
    )
    if blocks:
        print_table(("blocked", "since", "reason"), ((b.value, _time(b.blocked_at), shown(b.reason)) for b in blocks))


@app.command()
def block(
    *,
    target: Annotated[str | None, typer.Argument(help="The agent: NAME, NAME/INSTANCE, or a whole SPIFFE ID.")] = None,
    serial: Annotated[
        str | None, typer.Option("--serial", help="One certificate instead, as `ca list` shows it.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="For the record.")] = "not given",
    lift: Annotated[bool, typer.Option("--lift", help="Take the block back.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write the signed list, for agents with files.")
    ] = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Refuse an agent, or one certificate, at every peer: at its next handshake and on its next message."""
    if (target is None) == (serial is None):
        raise ConfigError("name one agent, or one certificate with --serial")
    with _authority(home) as (authority, _):
        aim = _serial(serial) if serial is not None else authority.agent_id(target or "")
        version = authority.lift(aim, by=_user()) if lift else authority.block(aim, reason=reason, by=_user())
        if out is not None:
            _write(out, authority.signed_block_list())
    named = serial or target or ""
    if as_json:
        print_json({"target": named, "blocked": not lift, "version": version})
    else:
        typer.echo(f"{named} is {'no longer blocked' if lift else 'blocked'}; block list {version}")


@app.command()
def rotate(
    compromised: Annotated[
        bool, typer.Option("--compromised", help="The issuing key is in foreign hands: the old CA is refused at once.")
    ] = False,
    root_key: RootKeyOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Begin with a new issuing CA. Agents learn it one certificate's life before it signs; nothing is interrupted."""
    with _authority(home) as (authority, _):
        made = authority.rotate(compromised=compromised, root_key=root_key, by=_user())
    if as_json:
        print_json({**dataclasses.asdict(made), "serial": f"{made.serial:x}"})
    else:
        typer.echo(f"the new issuing CA signs from {_time(made.signs_from)}, the old one is refused from "
                   f"{_time(made.old_leaves_at)}")  # fmt: skip
    if compromised:
        typer.echo("agents that joined over the network must join again: their certificates are refused", err=True)


@app.command()
def serve(
    listen: Annotated[str, typer.Option("--listen", help="HOST:PORT; port 0 takes a free one.")] = DEFAULT_ADDRESS,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Answer agents that join, renew, and ask who is blocked, until interrupted."""
    from agentguard.channel import EnrolmentServer

    host, port = _address(listen)
    with _authority(home) as (authority, record):
        server = EnrolmentServer(authority, host=host, port=port, record=record)
        try:
            signal.signal(signal.SIGTERM, lambda *_: server.stop())
            signal.signal(signal.SIGINT, lambda *_: server.stop())
            host, port = server.address
            if as_json:
                print_json({"host": host, "port": port})
            else:
                typer.echo(f"the CA of {authority.trust_domain} answers at {host}:{port}")
            server.wait()
        finally:
            server.close()


@contextmanager
def _authority(home: Path) -> Iterator[tuple[Authority, Callable[[IdentityRecord], None]]]:
    """The home's CA, whose every act is in the home's audit log."""
    from agentguard.channel import Authority

    opened = Home.open(home)
    with _recorded(opened) as record:
        authority = Authority(opened, record=record)
        try:
            yield authority, record
        finally:
            authority.close()


@contextmanager
def _recorded(home: Home) -> Iterator[Callable[[IdentityRecord], None]]:
    from agentguard.assembly import identity_log

    with AuditLog.open(home) as log:
        yield identity_log(log)


def _print_token(
    authority: Authority, spiffe_id: SpiffeId, record: Callable[[IdentityRecord], None], as_json: bool
) -> None:
    from agentguard.channel import new_token

    token = new_token(authority, spiffe_id, by=_user(), record=record)
    if as_json:
        print_json({"spiffe_id": str(spiffe_id), "token": str(token)})
    else:
        typer.echo(str(token))
    typer.echo("good for one join within ten minutes; hand it over like a password", err=True)


def _write_identity(authority: Authority, spiffe_id: SpiffeId, out: Path, as_json: bool) -> None:
    identity = authority.identity(spiffe_id, by=_user())
    make_private_folder(out)
    # The key before the certificate it belongs to: a reader that sees a mixture waits for the rest.
    for name, content in (
        ("bundle.pem", identity.roots_pem),
        ("key.pem", identity.key_pem),
        ("chain.pem", identity.chain_pem),
    ):
        _write(out / name, content)
    if as_json:
        print_json(
            {"spiffe_id": str(spiffe_id), "serial": f"{identity.serial:x}", "not_after": _iso(identity.not_after),
             "folder": str(out)}
        )  # fmt: skip
    else:
        typer.echo(f"{spiffe_id} in {out}, until {_iso(identity.not_after)}; nobody renews these files but you")


def _described(identity: Identity) -> dict[str, object]:
    return {
        "spiffe_id": str(identity.spiffe_id),
        "serial": f"{identity.serial:x}",
        "not_after": _iso(identity.not_after),
    }


def _write(path: Path, content: bytes) -> None:
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent} is no folder; make it first")
    with atomic_file(path) as file:
        file.write(content)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{text!r} is no address; write HOST:PORT, for example {DEFAULT_ADDRESS}")
    return host.strip("[]"), int(port)


def _serial(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no serial number; `agentguard ca list` shows them, in hex") from error


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _time(seconds: float) -> str:
    return _iso(datetime.fromtimestamp(seconds, UTC))


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
