"""How the command line takes passwords and keys: a prompt without echo, stdin, a private file; never an argument.

Arguments are seen by every process of the machine and kept in the shell's history.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

import typer

from agentguard.errors import ConfigError, MissingPasswordError, OversizedError
from agentguard.keys.password import MAX_PASSWORD_BYTES, PASSWORD_VARIABLES, password_from_environment
from agentguard.keys.source import read_private
from agentguard.keys.vault_input import MAX_VALUE_BYTES

__all__ = ["NEW_PASSWORD", "master_password", "new_master_password", "no_more_arguments", "secret_value"]

NEW_PASSWORD = "AGENTGUARD_NEW_MASTER_PASSWORD"  # noqa: S105  # the variable's name


def master_password(file: Path | None) -> str:
    """From the file, else the environment, else a prompt.

    Raises:
        KeySourceError: the file is absent, or others can read it.
        MissingPasswordError: nobody can be asked.
    """
    if file is not None:
        return _from_file(file)
    found = password_from_environment()
    return found or _asked("Master password: ", f"no master password; set {PASSWORD_VARIABLES[1]}, or --password-file")


def new_master_password(file: Path | None) -> str:
    """From the file, else the environment, else a prompt that asks twice.

    Raises:
        KeySourceError, MissingPasswordError: as ``master_password``.
        ConfigError: the two are not the same.
    """
    if file is not None:
        return _from_file(file)
    found = os.environ.get(NEW_PASSWORD)
    if found:
        return found
    first = _asked("New master password: ", f"no new master password; set {NEW_PASSWORD}, or --new-password-file")
    if getpass.getpass("Again: ") != first:
        raise ConfigError("the two passwords differ; nothing was changed")
    return first


def secret_value(prompt: str) -> str:
    """An API key from a prompt without echo, or all of stdin without its last line break.

    Raises:
        OversizedError: more than any key has.
        ConfigError: not UTF-8.
    """
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    raw = sys.stdin.buffer.read(MAX_VALUE_BYTES + 3)
    if len(raw) > MAX_VALUE_BYTES + 2:
        raise OversizedError(f"stdin holds more than {MAX_VALUE_BYTES} bytes, the most that an API key may have")
    return _text(raw, "stdin")


def no_more_arguments(context: typer.Context) -> None:
    """Refuse words that the command does not know, without repeating them: one may be the secret.

    Raises:
        ConfigError: there are any.
    """
    if context.args:
        raise ConfigError(
            f"`{context.info_name}` got {len(context.args)} argument more than it takes. A secret is never given on "
            "the command line: it is asked for, or read from stdin. If one was typed here, replace it: the shell's "
            "history has it"
        )


def _from_file(path: Path) -> str:
    raw = read_private(path, "make it with mode 600, one line")
    if len(raw) > MAX_PASSWORD_BYTES:
        raise OversizedError(f"{path} holds more than {MAX_PASSWORD_BYTES} bytes, the most that a password may have")
    return _text(raw, str(path))


def _asked(prompt: str, otherwise: str) -> str:
    if not sys.stdin.isatty():
        raise MissingPasswordError(otherwise)
    return getpass.getpass(prompt)


def _text(raw: bytes, place: str) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        # Not chained: the cause's text would show bytes of the secret.
        raise ConfigError(f"{place} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
