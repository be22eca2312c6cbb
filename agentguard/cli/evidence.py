"""``agentguard audit prove``, ``check-proof``, ``consistency``, ``checkpoint`` and ``export``: evidence for others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agentguard.audit import AuditLog, ConsistencyProof, InclusionProof
from agentguard.audit.checkpoint import VerifierKey
from agentguard.audit.export import FORMATS
from agentguard.audit.proof import CONSISTENCY
from agentguard.cli.option import HomeOption, JsonOption, moment, progress_bar
from agentguard.errors import ConfigError, StoreError, TamperError
from agentguard.store import Home, atomic_file

__all__ = ["check_proof", "checkpoint", "consistency", "export", "prove"]

OutOption = Annotated[Path, typer.Option("--out", "-o", help="Where the file goes.")]


def prove(
    record: Annotated[int, typer.Argument(help="The record's index, as `tail` and `query` show it.", min=0)],
    out: OutOption = Path("record.proof"),
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Write a file that proves a record to be in the log, to whoever has the verifier key."""
    with AuditLog.open(Home.open(home)) as log:
        proof = log.prove(record)
    _save(out, proof.encode())
    if as_json:
        typer.echo(json.dumps({"index": record, "file": str(out), "nodes": len(proof.path)}))
    typer.echo(
        f"wrote {out}: record {record}; it holds the record in clear, so send it only to whom may read it", err=True
    )


def checkpoint(home: HomeOption = Path(".agentguard")) -> None:
    """Print the newest signed checkpoint: keep it where whoever can write the log cannot."""
    with AuditLog.open(Home.open(home)) as log:
        typer.echo(log.checkpoint().decode(), nl=False)


def consistency(
    since: Annotated[Path, typer.Option("--since", help="A signed checkpoint kept from earlier.")],
    out: OutOption = Path("consistency.proof"),
    home: HomeOption = Path(".agentguard"),
) -> None:
    """Write a file that proves the log to continue an earlier checkpoint: nothing before it was changed."""
    with AuditLog.open(Home.open(home)) as log:
        proof = log.prove_consistency(_read(since))
    _save(out, proof.encode())
    typer.echo(f"wrote {out}", err=True)


def check_proof(
    file: Annotated[Path, typer.Argument(help="What `prove` or `consistency` wrote.")],
    key: Annotated[
        str,
        typer.Option("--key", help="The log's verifier key, or a file that holds it; never from the proof's sender."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Check a proof. Needs no decryption key and no log. Exit code: 0 proved, 1 not proved, 2 usage."""
    data, verifier = _read(file), _verifier(key)
    try:
        if data.startswith(CONSISTENCY.encode()):
            old, new = ConsistencyProof.parse(data).check(verifier)
            found = {"proved": True, "old_size": old.size, "size": new.size, "origin": new.origin, "time": new.time}
            text = f"proved: the log of {new.size} records continues the one of {old.size}"
        else:
            proof = InclusionProof.parse(data)
            signed = proof.check(verifier)
            record = proof.data()
            found = {
                "proved": True,
                "index": proof.index,
                "size": signed.size,
                "origin": signed.origin,
                "record": record,
            }
            text = f"proved: record {proof.index} of {signed.size} in {signed.origin}\n{json.dumps(record)}"
    except TamperError as error:
        typer.echo(json.dumps({"proved": False, "detail": str(error)}) if as_json else "not proved")
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(found) if as_json else text)


def export(  # typer reads options from plain parameters
    form: Annotated[str, typer.Option("--format", help="jsonl, ocsf, otlp or syslog.")] = "jsonl",
    home: HomeOption = Path(".agentguard"),
    start: Annotated[str | None, typer.Option("--start", help="First moment, ISO 8601 with zone.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="First moment no longer wanted.")] = None,
    cursor: Annotated[int | None, typer.Option("--cursor", help="Continue after the record with this index.")] = None,
) -> None:
    """Print records for another system, one line each. A view for searching: the log stays the evidence."""
    write = FORMATS.get(form)
    if write is None:
        raise ConfigError(f"--format is one of {', '.join(FORMATS)}, got {form!r}")
    with AuditLog.open(Home.open(home)) as log, progress_bar() as bar:
        records = log.query(start=moment(start), end=moment(end), cursor=cursor, full=True)
        task = bar.add_task("exporting", total=None)
        for record in records:
            typer.echo(write(record))
            bar.update(task, completed=record.index)


def _verifier(text: str) -> VerifierKey:
    try:
        if "+" not in text or Path(text).exists():
            text = Path(text).read_text("utf-8")
        return VerifierKey.parse(text)
    except (OSError, UnicodeDecodeError, TamperError) as error:
        raise ConfigError("--key needs the verifier key that `agentguard init` printed, or a file with it") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); check the path") from error


def _save(path: Path, data: bytes) -> None:
    with atomic_file(path) as file:
        file.write(data)
