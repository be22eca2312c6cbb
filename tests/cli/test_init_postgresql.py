"""``agentguard init`` with databases on a server: remembered privately, no password shown, refused clearly."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import make_url

from agentguard.cli import main
from agentguard.errors import StoreError
from agentguard.store import Home
from tests.servers import PostgresServer

PASSWORD = "made-up-" + "pass%2Fword"  # %2F: as a URL spells it
PLAIN = "made-up-" + "pass/word"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command said and how it ended."""

    code: int
    stdout: str
    stderr: str


class Command(Protocol):
    """Runs ``agentguard`` in this process, in the test's folder."""

    def __call__(self, *arguments: str) -> Done: ...


@pytest.fixture
def agentguard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["agentguard", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Done(int(str(ended.value.code)), told.out, told.err)

    return run


@pytest.fixture
def url(postgres_server: PostgresServer, postgres_url: str) -> str:
    """Over loopback, with a password that needs escaping."""
    postgres_server.execute("DROP ROLE IF EXISTS keeper", f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{PLAIN}'")
    database = make_url(postgres_url).database
    return f"postgresql://keeper:{PASSWORD}@127.0.0.1:{postgres_server.port}/{database}"


def test_databases_on_a_server_are_remembered_and_used(
    agentguard: Command, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL is given once, in the environment if it holds a password; every later command knows it by the home."""
    with monkeypatch.context() as environment:
        environment.setenv("AGENTGUARD_STATE_URL", url)
        environment.setenv("AGENTGUARD_AUDIT_URL", url)
        made = agentguard("init")
    found = agentguard("audit", "verify", "--json")

    assert (made.code, found.code) == (0, 0), made.stderr + found.stderr
    assert "agentguard_audit" in made.stderr
    assert json.loads(found.stdout)["verdict"] == "ok-unanchored"
    folder = tmp_path / ".agentguard"
    assert {path.name for path in folder.iterdir()} == {"databases.json", "kek.key", "audit.vkey"}
    assert (folder / "databases.json").stat().st_mode & 0o777 == 0o600
    assert Home.open(folder).state_server is not None


def test_the_password_is_shown_nowhere(
    agentguard: Command, tmp_path: Path, url: str, postgres_server: PostgresServer
) -> None:
    """Not by what works, not by what fails, not by repr."""
    texts = []
    broken = [url.replace("keeper", "nobody"), url.replace("127.0.0.1", "127.0.0.1:x"), f"{url}?bad=1"]
    runs = [agentguard("init", "--audit-url", given) for given in (url, *broken)]
    runs.append(agentguard("audit", "verify"))
    for done in runs:
        texts += [done.stdout, done.stderr]
        assert "Traceback" not in done.stderr
    texts.append(repr(Home.open(tmp_path / ".agentguard")))

    assert not [text for text in texts if PASSWORD in text or PLAIN in text]
    postgres_server.execute("ALTER ROLE keeper NOLOGIN")


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ("mysql://u@h/d", "config-invalid", "postgresql://"),
        ("not a url", "config-invalid", "postgresql://"),
        ("postgresql://u:secret-word@h:port/d", "config-invalid", "cannot be read"),
        ("postgresql://u@h/d?schema=pg_catalog", "config-invalid", "schema"),
        ("postgresql://u@h/d?schema=x;drop", "config-invalid", "schema"),
        ("postgresql://u@h/d?statement_timeout=soon", "config-invalid", "statement_timeout"),
        ("postgresql://u@127.0.0.1:1/d", "store-unavailable", "check the server"),
        ("postgresql://u@127.0.0.1:1/d?no_such_parameter=1", "store-unusable", "no_such_parameter"),
    ],
)
def test_url_that_cannot_be_used_is_one_clear_line(agentguard: Command, given: str, code: str, message: str) -> None:
    done = agentguard("init", "--audit-url", given)

    assert done.code == (2 if code == "config-invalid" else 3)
    assert done.stderr.startswith(f"agentguard: {code}: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "secret-word" not in done.stderr


def test_a_log_in_a_file_is_not_moved_by_naming_a_server(agentguard: Command, tmp_path: Path, url: str) -> None:
    agentguard("init")

    done = agentguard("init", "--audit-url", url)

    assert done.code == 2
    assert "is not moved" in done.stderr
    assert Home.open(tmp_path / ".agentguard").audit_server is None


@pytest.mark.parametrize(
    "content", ["{}x", "[]", '{"audit": 7}', '{"audit": "postgresql://u:hidden-word@h:x/d"}', '{"logs": ""}']
)
def test_damaged_list_of_databases_is_refused(tmp_path: Path, content: str) -> None:
    """A home must not fall back to files when it cannot tell where its log is."""
    home = Home.create(tmp_path / "h")
    home.databases_path.write_text(content)
    home.databases_path.chmod(0o600)

    with pytest.raises(StoreError, match=r"databases\.json") as refused:
        Home.open(home.path)

    assert "hidden-word" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_list_of_databases_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    home = Home.create(tmp_path / "h")
    home.databases_path.write_text("{}")
    home.databases_path.chmod(mode)

    with pytest.raises(StoreError, match="chmod 600"):
        Home.open(home.path)


def test_missing_driver_names_the_extra(tmp_path: Path) -> None:
    """One line that says what to install."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'psycopg' else real(name, *a)\n"
        "sys.argv = ['agentguard', 'init', '--audit-url', 'postgresql://u@h/d']\n"
        "from agentguard.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.returncode == 3
    assert done.stderr.strip().endswith("install agentguard[postgresql]")
    assert len(done.stderr.strip().splitlines()) == 1
