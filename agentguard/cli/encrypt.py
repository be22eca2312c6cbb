"""``agentguard encrypt``, ``decrypt`` and ``reencrypt``: files of any size, in constant memory, whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, TypeAlias

import typer
from rich.markup import escape

from agentguard.access.approval import escaped
from agentguard.cli.option import HomeOption, JsonOption, progress_bar
from agentguard.cli.output import print_json
from agentguard.errors import AgentGuardError, ConfigError, StoreError
from agentguard.keys import DataEncryption, KeyFile
from agentguard.keys.files import SourceFile, replacing
from agentguard.keys.stream import Progress

__all__ = ["decrypt", "encrypt", "reencrypt"]

SUFFIX = ".sealed"
STDIO = Path("-")
REFUSED = 1
# Encrypted text from a pipe waits in memory up to this, then in a file without a name.
SPOOL_BYTES = 16 * 1024 * 1024

FilesArgument: TypeAlias = Annotated[list[Path], typer.Argument(metavar="FILE|-...", help="Files, or - for stdin.")]
OutOption: TypeAlias = Annotated[
    Path | None, typer.Option("-o", "--out", help="Where the result goes, for one FILE; - is stdout.")
]
InPlaceOption: TypeAlias = Annotated[
    bool, typer.Option("--in-place", help="Put the result in the file's place, whole or not at all.")
]
ForceOption: TypeAlias = Annotated[bool, typer.Option("--force", help="Replace a result that exists.")]
KeyFileOption: TypeAlias = Annotated[
    Path | None, typer.Option("--key-file", help="As `keys generate` makes one; else the folder's keyring.")
]


def encrypt(  # noqa: PLR0917  # typer reads options from plain parameters
    files: FilesArgument,
    out: OutOption = None,
    in_place: InPlaceOption = False,
    force: ForceOption = False,
    key_file: KeyFileOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Encrypt files, mode 600; FILE becomes FILE.sealed unless told otherwise."""
    targets = _targets(files, out, in_place, force, _sealed_name)
    box = _box(key_file, home)
    for source, target in targets:
        with _progress(source) as progress:
            if STDIO in {source, target}:
                with _reader(source) as opened, _writer(target, opened) as writer:
                    count = box.encrypt_stream(opened.file if opened else sys.stdin.buffer, writer)
            else:
                count = box.encrypt_file(source, target, progress=progress)
        _tell(source, target, count, as_json, key_id=box.key_id)


def decrypt(  # noqa: PLR0917  # typer reads options from plain parameters
    files: FilesArgument,
    out: OutOption = None,
    in_place: InPlaceOption = False,
    force: ForceOption = False,
    key_file: KeyFileOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Decrypt files; FILE.sealed becomes FILE. Nothing is written unless all of it is genuine."""
    targets = _targets(files, out, in_place, force, _plain_name)
    box = _box(key_file, home)
    for source, target in targets:
        with _progress(source) as progress:
            if STDIO in {source, target}:
                with _reader(source) as opened, _seekable(opened) as sealed, _writer(target, opened) as writer:
                    count = box.decrypt_stream(sealed, writer)
            else:
                count = box.decrypt_file(source, target, progress=progress)
        _tell(source, target, count, as_json)


def reencrypt(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Encrypted files, replaced in place.")],
    key_file: KeyFileOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Bring encrypted files under the newest key of the keyring. The plain text is never on disk."""
    box = _box(key_file, home)
    for file in files:
        with _progress(file) as progress:
            count = box.reencrypt_file(file, file, progress=progress)
        _tell(file, file, count, as_json, key_id=box.key_id)


def _box(key_file: Path | None, home: Path) -> DataEncryption:
    return DataEncryption.from_home(home) if key_file is None else DataEncryption.from_source(KeyFile(key_file))


def _targets(
    files: list[Path], out: Path | None, in_place: bool, force: bool, renamed: Callable[[Path], Path]
) -> list[tuple[Path, Path]]:
    if out is not None and (in_place or len(files) > 1):
        raise ConfigError("-o names the result of one FILE, and goes without --in-place")
    if in_place and STDIO in files:
        raise ConfigError("stdin has no place; use -o")
    found = []
    for file in files:
        target = out or (file if in_place or file == STDIO else renamed(file))
        if target == STDIO and sys.stdout.isatty():
            raise ConfigError("stdout is a terminal; use -o, or pipe the result on")
        if target not in (STDIO, file) and os.path.lexists(target) and not force:
            raise ConfigError(f"{target} exists and was kept; --force replaces it, -o chooses another")
        found.append((file, target))
    return found


def _sealed_name(file: Path) -> Path:
    if not file.name:
        raise ConfigError(f"{file} names no file")
    return file.with_name(file.name + SUFFIX)


def _plain_name(file: Path) -> Path:
    if not file.name.removesuffix(SUFFIX) or not file.name.endswith(SUFFIX):
        raise ConfigError(f"{file} does not end in {SUFFIX}; say with -o where the result goes, or --in-place")
    return file.with_name(file.name.removesuffix(SUFFIX))


@contextmanager
def _reader(source: Path) -> Iterator[SourceFile | None]:
    if source == STDIO:
        yield None
        return
    with SourceFile(source) as opened:
        yield opened
        opened.check_unchanged()


@contextmanager
def _writer(target: Path, source: SourceFile | None) -> Iterator[IO[bytes]]:
    if target != STDIO:
        with replacing(target, source) as out:
            yield out
        return
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except AgentGuardError:
        raise
    except OSError as error:
        # Python's own flush at the end must not say it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read has gone
            raise typer.Exit(REFUSED) from error
        raise StoreError(f"stdout cannot be written ({error.strerror}); what is there is not whole") from error


@contextmanager
def _seekable(source: SourceFile | None) -> Iterator[IO[bytes]]:
    """What is decrypted to a pipe is read twice; only encrypted text is kept for that."""
    if source is not None:
        yield source.file
        return
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        try:
            shutil.copyfileobj(sys.stdin.buffer, spool, 1024 * 1024)
            spool.seek(0)
        except OSError as error:
            raise StoreError(
                f"stdin cannot be kept in {tempfile.gettempdir()} until it is verified ({error.strerror}); set TMPDIR"
            ) from error
        yield spool


@contextmanager
def _progress(source: Path) -> Iterator[Progress]:
    with progress_bar() as bar:
        total = None
        with suppress(OSError):  # whoever opens it says what is wrong
            total = source.stat().st_size
        task = bar.add_task(escape(escaped(source.name)), total=total)
        yield lambda size: bar.advance(task, size)


def _tell(source: Path, target: Path, count: int, as_json: bool, **more: object) -> None:
    if target == STDIO:
        return  # stdout is the data
    if as_json:
        print_json({"file": str(source), "target": str(target), "bytes": count, **more})
    else:
        typer.echo(escaped(str(target)) if sys.stdout.isatty() else str(target))
