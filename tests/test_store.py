"""The home folder and its files are private, ours and usable, or refused with a remedy; see also test_store_engines."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from agentguard.errors import StoreError
from agentguard.store import Home, atomic_file, begin_immediate, open_engine

metadata = MetaData()
counters = Table("counter", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, nullable=False))
ROOT = Path(__file__).parents[1]
NOBODY = 65534


def test_home_is_made_once_and_found_again(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "h")
    key = home.key_path.read_bytes()

    assert Home.create(tmp_path / "h") == Home.open(tmp_path / "h") == home
    assert home.key_path.read_bytes() == key
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in home.path.iterdir()} == {0o600}


def test_lost_key_is_not_replaced(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "h")
    home.audit_path.write_bytes(b"a log")
    home.key_path.unlink()

    with pytest.raises(StoreError, match="restore the key"):
        Home.create(tmp_path / "h")
    assert not home.key_path.exists()


@pytest.mark.parametrize(
    ("name", "mode", "remedy"),
    [
        ("", 0o750, "chmod 700"),
        ("", 0o701, "chmod 700"),
        ("audit.db", 0o640, "chmod 600"),
        ("state.db", 0o602, "chmod 600"),
    ],
    ids=["group-folder", "world-folder", "readable-log", "writable-state"],
)
def test_home_open_to_others_is_refused(tmp_path: Path, name: str, mode: int, remedy: str) -> None:
    home = Home.create(tmp_path / "h")
    (home.path / name).chmod(mode)

    with pytest.raises(StoreError, match=remedy):
        Home.open(home.path)


@pytest.mark.parametrize("name", ["", "audit.db"], ids=["folder", "database"])
def test_links_are_refused(tmp_path: Path, name: str) -> None:
    home = Home.create(tmp_path / "h")
    target = home.path / name if name else home.path
    moved = target.rename(tmp_path / "moved")
    target.symlink_to(moved)

    with pytest.raises(StoreError, match="links"):
        Home.open(home.path)


def test_missing_home_says_init(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="agentguard init"):
        Home.open(tmp_path / "none")


AS_NOBODY = """
import sys
from pathlib import Path
from agentguard.errors import StoreError
from agentguard.store import Home
try:
    getattr(Home, sys.argv[2])(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


def _as_nobody(path: Path, call: str) -> str:
    # Root sees no permission errors, so a child gives up root before it looks. Imports happen before that.
    code = f"import os, sqlalchemy, agentguard.store\nif os.getuid() == 0: os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    done = subprocess.run(
        [sys.executable, "-c", code + AS_NOBODY, str(path), call],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return done.stdout


@pytest.fixture
def walkable() -> Iterator[Path]:
    """A folder that other users can walk through; other test runs close the parents of ``tmp_path``."""
    with tempfile.TemporaryDirectory(prefix="ag-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make a folder of another user")
def test_home_of_another_user_is_refused(walkable: Path) -> None:
    home = Home.create(walkable / "h")

    assert "run as its owner" in _as_nobody(home.path, "open")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make a folder of another user")
def test_home_behind_a_closed_folder_is_refused(walkable: Path) -> None:
    home = Home.create(walkable / "closed" / "h")
    (walkable / "closed").chmod(0o700)

    assert "cannot be examined" in _as_nobody(home.path, "open")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give files away")
def test_unwritable_home_is_refused(walkable: Path) -> None:
    home = Home.create(walkable / "h")
    for path in (*home.path.iterdir(), home.path):
        os.chown(path, NOBODY, NOBODY)
    assert _as_nobody(home.path, "open") == ""

    home.path.chmod(0o500)
    assert "chmod 700" in _as_nobody(home.path, "open")
    home.path.chmod(0o700)
    home.audit_path.chmod(0o400)
    assert "chmod 600" in _as_nobody(home.path, "open")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make a folder of another user")
def test_home_in_an_unwritable_place_is_refused(walkable: Path) -> None:
    (walkable / "closed").mkdir(mode=0o755)

    assert "cannot be made" in _as_nobody(walkable / "closed" / "h", "create")


def test_engine_makes_tables_and_survives_reopening(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    engine = open_engine(path, application_id=7, schema_version=1, metadata=metadata)
    with begin_immediate(engine) as connection:
        connection.execute(insert(counters).values(id=1, n=5))
    engine.dispose()

    again = open_engine(path, application_id=7, schema_version=1, metadata=metadata, synchronous="NORMAL")
    with again.begin() as connection:
        assert connection.execute(select(counters.c.n)).scalar_one() == 5
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 1
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 1
    again.dispose()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"not a database" * 99, b"SQLite format 3\x00" + bytes(4080)], ids=["text", "zeros"]
)
def test_damaged_database_is_a_store_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    (tmp_path / "x.db").chmod(0o600)

    with pytest.raises(StoreError, match="restore a backup"):
        open_engine(tmp_path / "x.db", application_id=7, schema_version=1, metadata=metadata)


def test_trigger_in_the_file_is_refused(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "x.db", application_id=7, schema_version=1, metadata=metadata)
    with begin_immediate(engine) as connection:
        connection.exec_driver_sql("CREATE TRIGGER t AFTER INSERT ON counter BEGIN DELETE FROM counter; END")
    engine.dispose()

    with pytest.raises(StoreError, match="trigger"):
        open_engine(tmp_path / "x.db", application_id=7, schema_version=1, metadata=metadata)


def test_atomic_file_keeps_the_old_content_on_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def fail() -> None:
        with atomic_file(tmp_path / "a") as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
