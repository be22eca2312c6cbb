"""``agentguard demo``: attack a real agent twice, unguarded and guarded, and show what happened."""

from __future__ import annotations

from typing import Annotated

import typer

from agentguard.errors import AdapterError

__all__ = ["demo"]


def demo(
    model: Annotated[
        str, typer.Option("--model", metavar="PROVIDER:NAME", help="Any LangChain chat model; default: a script.")
    ] = "",
    model_arg: Annotated[
        list[str] | None,
        typer.Option("--model-arg", metavar="KEY=VALUE", help="A setting of the model, as base_url=...; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Attack a real agent twice, unguarded and guarded, on local tools, and show what happened.

    Without --model the model is a script that obeys every order it reads: no key and no network is needed.
    Exit code: 0 the guard held, 1 it did not, 2 usage, 3 the demo could not run.
    """
    try:
        from agentguard_demo.__main__ import demo as run
    except ImportError as error:
        raise AdapterError(f"install agentguard[demo] ({error.name or 'a package'} not found)") from error
    raise typer.Exit(run(model=model, model_args=model_arg or (), as_json=as_json))
