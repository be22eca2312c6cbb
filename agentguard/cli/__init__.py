"""The command line: ``agentguard <noun> <verb>``. The only package that prints.

``main`` holds the only ``except AgentGuardError``: an error is one line on stderr with its code, never a traceback.
Exit codes: 0 fine, 1 refused, 2 usage, 3 could not check; ``audit verify`` has its own, 10 to 14.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agentguard import __version__
from agentguard.cli import alerts, audit, ca, keys, policy
from agentguard.cli.approvals import approvals
from agentguard.cli.demo import demo
from agentguard.cli.encrypt import decrypt, encrypt, reencrypt
from agentguard.cli.eval import evaluate_files
from agentguard.cli.init import init as init_home
from agentguard.cli.mcp import mcp_proxy
from agentguard.cli.posture import posture
from agentguard.cli.roles import roles
from agentguard.cli.scan import scan
from agentguard.cli.sessions import sessions
from agentguard.errors import AgentGuardError, ConfigError, Denied, EnrolmentRefused, PeerRefused

__all__ = ["app", "main"]

app = typer.Typer(
    name="agentguard",
    help="Security middleware for LLM agents.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(audit.app, name="audit")
app.add_typer(policy.app, name="policy")
app.command()(scan)
app.command()(demo)
app.command()(posture)
for _command in (encrypt, decrypt, reencrypt):
    app.command()(_command)
app.command("eval")(evaluate_files)
app.command("mcp-proxy")(mcp_proxy)
app.add_typer(approvals, name="approvals")
app.add_typer(ca.app, name="ca")
app.add_typer(roles, name="roles")
app.add_typer(sessions, name="sessions")
app.add_typer(keys.app, name="keys")
app.add_typer(alerts.app, name="alerts")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # the callback reads it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Security middleware for LLM agents."""


@app.command()
def init(
    home: Annotated[Path, typer.Option("--home", help="Folder for the key and the databases.")] = Path(".agentguard"),
    policy_path: Annotated[Path, typer.Option("--policy", help="Where the starter policy goes.")] = Path(
        "agentguard.yaml"
    ),
    master_password: Annotated[
        bool,
        typer.Option("--master-password", help="Key from AGENTGUARD_MASTER_PASSWORD (Argon2id) instead of a key file."),
    ] = False,
    state_url: Annotated[
        str | None,
        typer.Option("--state-url", envvar="AGENTGUARD_STATE_URL", help="PostgreSQL for the state, instead of a file."),
    ] = None,
    audit_url: Annotated[
        str | None,
        typer.Option("--audit-url", envvar="AGENTGUARD_AUDIT_URL", help="PostgreSQL for the log, instead of a file."),
    ] = None,
) -> None:
    """Make the project's folder, its key and audit log, and a starter policy. Overwrites nothing."""
    from agentguard.policy import STARTER_POLICY

    init_home(
        home,
        policy_path,
        policy=STARTER_POLICY,
        master_password=master_password,
        state_url=state_url,
        audit_url=audit_url,
    )


# Wrong usage, in typer's words. Some versions bring a click of their own: the class is reached through a public name.
_Usage: type[Exception] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "UsageError")


def main() -> None:
    """Run a command; errors become one line and an exit code."""
    try:
        # A command that ended by typer.Exit returns its code.
        code = app(standalone_mode=False)
    except _Usage as error:
        _misused(error)
    except typer.Abort:
        sys.exit(130)
    except (Denied, EnrolmentRefused, PeerRefused) as error:
        _fail(error, 1)
    except ConfigError as error:
        _fail(error, 2)
    except AgentGuardError as error:
        _fail(error, 3)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _misused(error: Any) -> None:
    """Help where nothing was said, else one line that names the command whose help knows better."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        told = " ".join(error.format_message().split())
        command = error.ctx.command_path if error.ctx else "agentguard"
        typer.echo(f"agentguard: {ConfigError.code}: {told} ({command} --help tells more)", err=True)
    sys.exit(2)


def _fail(error: AgentGuardError, code: int) -> None:
    typer.echo(f"agentguard: {error.code}: {error}", err=True)
    sys.exit(code)
