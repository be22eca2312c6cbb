"""``agentguard ca`` from outside: outputs for people and machines, exit codes, one line for every error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentguard import AuditLog, Home
from agentguard.channel import Authority, BlockList, CertificateFiles, JoinToken
from tests.cli.test_cli import ROOT, run

DOMAIN = "agents.example.org"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home that has a CA."""
    folder = tmp_path_factory.mktemp("ca")
    Home.create(folder / ".agentguard")
    done = run(folder, "ca", "init", DOMAIN, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trust_domain"] == DOMAIN
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``ca serve`` on a free port, and where."""
    server = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "agentguard.cli", "ca", "serve", "--listen", "127.0.0.1:0", "--json"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        place = json.loads(server.stdout.readline())
        yield server, f"{place['host']}:{place['port']}"
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate(timeout=60)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param(("init", DOMAIN), 3, "identity-unusable: this home has a CA already", id="a-second-ca"),
        pytest.param(("init", "Not A Domain"), 3, "no trust domain", id="no-trust-domain"),
        pytest.param(
            ("init", "x.example", "--leaf-life", "25h"), 2, "config-invalid: a leaf lives from", id="long-life"
        ),
        pytest.param(("issue", "writer"), 2, "--token for a join token, or --out", id="neither-token-nor-files"),
        pytest.param(("issue", "two words", "--token"), 3, "no agent name", id="no-agent-name"),
        pytest.param(
            ("issue", "spiffe://elsewhere.example/agent/x", "--token"), 3, "trust domain", id="another-domain"
        ),
        pytest.param(("issue", f"spiffe://{DOMAIN}/ca", "--token"), 3, "own identity", id="the-ca-itself"),
        pytest.param(("join", "garbage"), 3, "no join token", id="no-token"),
        pytest.param(("join", "garbage", "--ca", "nowhere"), 3, "no join token", id="token-before-address"),
        pytest.param(("block",), 2, "name one agent, or one certificate", id="nobody-to-block"),
        pytest.param(("block", "--serial", "xyz"), 2, "no serial number", id="no-serial"),
        pytest.param(("block", "nobody", "--lift"), 3, "is not blocked", id="lift-what-is-not-blocked"),
        pytest.param(("rotate", "--root-key", "absent.key"), 3, "cannot be opened", id="no-root-key"),
        pytest.param(("serve", "--listen", "8470"), 2, "is no address", id="no-address"),
        pytest.param(("serve", "--listen", "192.0.2.1:1"), 3, "channel-failed: cannot listen", id="not-our-address"),
        pytest.param(("list", "--home", "absent"), 3, "store-unusable", id="no-home"),
        pytest.param(("issue",), 2, "Missing argument", id="usage"),
    ],
)
def test_an_error_is_one_line_with_its_code(project: Path, words: tuple[str, ...], code: int, told: str) -> None:
    done = run(project, "ca", *words)

    assert done.returncode == code
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_home_without_a_ca_says_so(tmp_path: Path) -> None:
    Home.create(tmp_path / ".agentguard")

    done = run(tmp_path, "ca", "list")

    assert (done.returncode, done.stdout) == (3, "")
    assert "run `agentguard ca init`" in done.stderr


def test_a_token_joins_once_over_the_network_and_the_log_tells(project: Path, tmp_path: Path) -> None:
    Home.create(tmp_path / ".agentguard")
    token = json.loads(run(project, "ca", "issue", "researcher", "--token", "--json").stdout)["token"]

    with serving(project) as (server, address):
        first = run(tmp_path, "ca", "join", token, "--ca", address, "--json")
        second = run(tmp_path, "ca", "join", token, "--ca", address, "--json")
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)

    assert JoinToken.parse(token).spiffe_id.agent == "researcher"
    assert json.loads(first.stdout)["spiffe_id"] == f"spiffe://{DOMAIN}/agent/researcher"
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith("agentguard: enrolment-refused: ")
    assert code == 0
    with AuditLog.open(Home.open(project / ".agentguard")) as log:
        events = [record.data["event"] for record in log.query(where={"type": "identity"})]
    assert {"identity-init", "identity-token", "identity-issue", "identity-join", "identity-refuse"} <= set(events)
    with AuditLog.open(Home.open(tmp_path / ".agentguard")) as log:
        (joined,) = log.query(where={"event": "identity-join"})
    assert joined.data["certificate.serial"] == json.loads(first.stdout)["serial"]
    assert token not in first.stderr + second.stderr


def test_another_ca_is_refused(project: Path, tmp_path: Path) -> None:
    """The token pins its CA: one of the same name on the same port is another."""
    Home.create(tmp_path / ".agentguard")
    run(tmp_path, "ca", "init", DOMAIN)
    token = run(project, "ca", "issue", "researcher", "--token").stdout.strip()

    with serving(tmp_path) as (_, address):
        done = run(tmp_path, "ca", "join", token, "--ca", address)

    assert done.returncode == 1
    assert "wrong-root" in done.stderr


def test_files_are_an_identity_and_a_block_shows_in_the_list(project: Path) -> None:
    issued = json.loads(run(project, "ca", "issue", "writer", "--out", "writer", "--json").stdout)
    blocked = json.loads(
        run(project, "ca", "block", "--serial", issued["serial"], "--out", "list.json", "--json").stdout
    )

    rows = [json.loads(line) for line in run(project, "ca", "list", "--json").stdout.splitlines()]

    folder = project / "writer"
    source = CertificateFiles(
        folder / "chain.pem", folder / "key.pem", folder / "bundle.pem", block_list=project / "list.json"
    )
    assert source.blocked(source.current().spiffe_id, int(issued["serial"], 16))
    assert str(source.current().spiffe_id) == issued["spiffe_id"]
    source.close()
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    (leaf,) = [row for row in rows if row["kind"] == "leaf" and row["serial"] == issued["serial"]]
    assert leaf["blocked"] is True
    assert blocked["version"] >= 1
    assert any(row["kind"] == "block" and row["value"] == issued["serial"] for row in rows)


def test_the_list_for_people_names_cas_leaves_and_blocks(project: Path) -> None:
    run(project, "ca", "block", "intern", "--reason", "left \x1b[31mus")

    done = run(project, "ca", "list")

    assert all(word in done.stdout for word in ("root", "trusted", "issuing", "signs", "intern", "left"))
    assert "\x1b" not in done.stdout


def test_a_rotation_tells_when(tmp_path: Path) -> None:
    Home.create(tmp_path / ".agentguard")
    run(tmp_path, "ca", "init", DOMAIN)

    planned = json.loads(run(tmp_path, "ca", "rotate", "--json").stdout)
    again = run(tmp_path, "ca", "rotate")
    at_once = json.loads(run(tmp_path, "ca", "rotate", "--compromised", "--json").stdout)

    assert planned["old_leaves_at"] - planned["signs_from"] == 3600
    assert (again.returncode, "waits for its time" in again.stderr) == (3, True)
    assert at_once["signs_from"] == at_once["old_leaves_at"]


def test_an_offline_root_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    Home.create(tmp_path / ".agentguard")

    done = run(tmp_path, "ca", "init", DOMAIN, "--root-key", "root.key")
    rotated = run(tmp_path, "ca", "rotate", "--root-key", "root.key")
    without = run(tmp_path, "ca", "rotate", "--compromised")

    assert (done.returncode, rotated.returncode, without.returncode) == (0, 0, 3)
    assert (tmp_path / "root.key").stat().st_mode & 0o777 == 0o600
    assert len(list((tmp_path / ".agentguard" / "ca").iterdir())) == 2


def test_blocks_are_numbered_across_processes(tmp_path: Path) -> None:
    home = Home.create(tmp_path / ".agentguard")
    Authority.create(home, DOMAIN).close()

    versions = [
        json.loads(run(tmp_path, "ca", "block", name, *lift, "--json").stdout)["version"]
        for name, lift in (("a", ()), ("b", ()), ("a", ("--lift",)))
    ]

    authority = Authority(home)
    assert versions == [1, 2, 3]
    assert authority.standing().block_list == BlockList(DOMAIN, 3, frozenset({authority.agent_id("b")}))
    authority.close()
