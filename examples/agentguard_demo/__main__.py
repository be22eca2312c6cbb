"""Attack a real agent twice, unguarded and guarded, and show what happened: ``make demo``, ``agentguard demo``.

The tools are real: a SQLite database, files, a web page from a local server, mail to a local SMTP server. Unless a
model is named, it is a script that obeys every order it reads, the worst case: no key and no network is needed.
Exits 0 only when the guarded run did no harm and the audit log verifies; with the script, also only when the unguarded
run did harm and both did the honest task.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from agentguard import AgentGuardError, ConfigError
from agentguard_demo.attack import Attack
from agentguard_demo.chat_model import chat_model
from agentguard_demo.report import show, summary

__all__ = ["demo", "main"]


def demo(*, model: str = "", model_args: Iterable[str] = (), as_json: bool = False) -> int:
    """Run both, print, and say by the exit code whether everything held.

    Raises:
        ConfigError: the model cannot be made as asked.
        AdapterError: its package is missing, or it could not be asked.
    """
    made = chat_model(model, model_args) if model else None
    with tempfile.TemporaryDirectory(prefix="agentguard-demo-") as folder:
        attack = Attack.run(Path(folder), made)
    if as_json:
        print(json.dumps(summary(attack), indent=2))
    else:
        show(Console(), attack)
    return 0 if attack.held else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m agentguard_demo``."""
    parser = argparse.ArgumentParser(prog="python -m agentguard_demo", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", default="", help="provider:name of any LangChain chat model; default: the script")
    parser.add_argument("--model-arg", action="append", default=[], metavar="KEY=VALUE", help="a setting of the model")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    given = parser.parse_args(arguments)
    try:
        return demo(model=given.model, model_args=given.model_arg, as_json=given.json)
    except AgentGuardError as error:
        print(f"agentguard: {error.code}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 3


if __name__ == "__main__":
    sys.exit(main())
