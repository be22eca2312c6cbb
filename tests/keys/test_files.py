"""Files: the result appears whole and private or not at all, and no plain text is left where nobody looks for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from agentguard.errors import DecryptError, FileAbsentError, FileRefusedError, ForgedError, StoreError, WrongKeyError
from agentguard.keys import DataEncryption
from agentguard.keys.stream import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES

ROOT = Path(__file__).parents[2]
NOBODY = 65534
BOX = DataEncryption(bytes(range(32)))
TEXT = b"made-up plain text " * 10_000


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain"
    path.write_bytes(TEXT)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- sources ---------------------------------------------------------------------------------------------------------


def _link(path: Path, plain: Path) -> None:
    path.symlink_to(plain)


def _folder(path: Path, _plain: Path) -> None:
    path.mkdir()


def _pipe(path: Path, _plain: Path) -> None:
    os.mkfifo(path)


def _looped(path: Path, _plain: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [_link, _folder, _pipe, _looped])
@pytest.mark.parametrize("call", [BOX.encrypt_file, BOX.decrypt_file, BOX.reencrypt_file])
def test_a_source_that_is_no_plain_file_is_refused(
    tmp_path: Path, plain: Path, make: Callable[[Path, Path], None], call: Callable[[Path, Path], int]
) -> None:
    make(tmp_path / "source", plain)

    with pytest.raises(FileRefusedError):
        call(tmp_path / "source", tmp_path / "target")
    assert names(tmp_path) == ["plain", "source"]


def test_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefusedError, match="device"):
        BOX.encrypt_file("/dev/zero", tmp_path / "target")


def test_an_absent_source_is_both_errors(tmp_path: Path) -> None:
    with pytest.raises(FileAbsentError, match="does not exist"):
        BOX.encrypt_file(tmp_path / "none", tmp_path / "target")
    assert issubclass(FileAbsentError, FileNotFoundError)
    assert names(tmp_path) == []


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _cut(path: Path) -> None:
    os.truncate(path, 10)


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"x" * len(TEXT))
    other.replace(path)


@pytest.mark.parametrize("change", [_grow, _cut, _replace, Path.unlink])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_source_that_changes_meanwhile_is_refused_and_nothing_is_lost(
    tmp_path: Path, plain: Path, change: Callable[[Path], None], in_place: bool
) -> None:
    told: list[int] = []

    def once(size: int) -> None:
        if not told:
            change(plain)
        told.append(size)

    target = plain if in_place else tmp_path / "target"
    with pytest.raises(FileRefusedError, match="nothing was written"):
        BOX.encrypt_file(plain, target, progress=once)

    assert names(tmp_path) in (["plain"], [])
    assert not plain.exists() or not plain.read_bytes().startswith(b"AGFILE")


# -- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [_link, _folder, _pipe, _looped])
def test_a_target_that_is_no_plain_file_is_refused(
    tmp_path: Path, plain: Path, make: Callable[[Path, Path], None]
) -> None:
    """A link would be replaced and leave the plain text where it points; a device would be replaced by a file."""
    make(tmp_path / "target", plain)
    before = (tmp_path / "target").lstat()

    with pytest.raises(FileRefusedError):
        BOX.encrypt_file(plain, tmp_path / "target")

    assert (tmp_path / "target").lstat().st_ino == before.st_ino
    assert plain.read_bytes() == TEXT


def test_in_place_through_a_second_name_is_refused(tmp_path: Path, plain: Path) -> None:
    os.link(plain, tmp_path / "second")

    with pytest.raises(FileRefusedError, match="names"):
        BOX.encrypt_file(plain, plain)
    with pytest.raises(FileRefusedError, match="names"):
        BOX.encrypt_file(plain, tmp_path / "second")
    assert plain.read_bytes() == TEXT


def test_a_target_in_no_folder_is_a_store_error(tmp_path: Path, plain: Path) -> None:
    with pytest.raises(StoreError):
        BOX.encrypt_file(plain, tmp_path / "none" / "target")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o644, 0o666, 0o400])
def test_results_are_private_whatever_umask_and_source_say(tmp_path: Path, plain: Path, mask: int, mode: int) -> None:
    plain.chmod(mode)
    before = os.umask(mask)
    try:
        BOX.encrypt_file(plain, tmp_path / "sealed")
        BOX.decrypt_file(tmp_path / "sealed", tmp_path / "back")
        BOX.encrypt_file(plain, plain)
    finally:
        os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert (tmp_path / "back").read_bytes() == TEXT


# -- a user without rights -------------------------------------------------------------------------------------------

AS_NOBODY = """
import os, sys
import agentguard.keys
if os.getuid() == 0: os.setgid(65534); os.setuid(65534)
from agentguard.errors import AgentGuardError
from agentguard.keys import DataEncryption
try:
    DataEncryption(bytes(range(32))).encrypt_file(sys.argv[1], sys.argv[2])
except AgentGuardError as error:
    print(error.code, error)
"""


def _as_nobody(source: Path, target: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(source), str(target)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return done.stdout


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    for parent in (tmp_path, *tmp_path.parents):
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    folder = tmp_path / "open"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    return folder


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root to act as another user")


@needs_root
def test_an_unprivileged_user_gets_private_files_of_its_own(open_folder: Path) -> None:
    (open_folder / "a").write_bytes(TEXT)

    assert _as_nobody(open_folder / "a", open_folder / "b") == ""

    found = (open_folder / "b").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (NOBODY, 0o600)


@needs_root
def test_what_the_user_may_not_read_or_write_is_one_line(open_folder: Path) -> None:
    (open_folder / "secret").write_bytes(TEXT)
    (open_folder / "secret").chmod(0o600)
    (open_folder / "a").write_bytes(TEXT)
    closed = open_folder / "closed"
    closed.mkdir(mode=0o755)

    assert _as_nobody(open_folder / "secret", open_folder / "b").startswith("file-refused ")
    assert _as_nobody(open_folder / "a", closed / "b").startswith("store-unusable ")
    closed.chmod(0o700)
    assert _as_nobody(closed / "a", open_folder / "b").startswith("file-refused ")
    assert _as_nobody(open_folder / "a", closed / "b").startswith("file-refused ")
    assert names(open_folder) == ["a", "closed", "secret"]


@needs_root
def test_in_place_on_another_users_file_is_refused(open_folder: Path) -> None:
    """The new file would be ours: its owner could open it no more."""
    (open_folder / "a").write_bytes(TEXT)
    os.chown(open_folder / "a", NOBODY, NOBODY)

    with pytest.raises(FileRefusedError, match="run as them"):
        BOX.encrypt_file(open_folder / "a", open_folder / "a")


# -- a full disk, much data ------------------------------------------------------------------------------------------

# The largest file that the process may write stands for the disk's last free block.
FULL = """
import resource, signal, sys
from agentguard.errors import StoreError
from agentguard.keys import DataEncryption
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
box = DataEncryption(bytes(range(32)))
for call in (box.encrypt_file, box.decrypt_file):
    try:
        call(sys.argv[1] if call == box.encrypt_file else sys.argv[2], sys.argv[3])
    except StoreError as error:
        print(error.code)
"""


def test_a_full_disk_leaves_target_and_source_as_they_were(tmp_path: Path, plain: Path) -> None:
    BOX.encrypt_file(plain, tmp_path / "sealed")
    sealed = (tmp_path / "sealed").read_bytes()
    (tmp_path / "target").write_bytes(b"old")

    for target in ("target", "plain"):
        done = _python(FULL, str(plain), str(tmp_path / "sealed"), str(tmp_path / target))
        assert done.split() == ["store-unusable", "store-unusable"]

    assert (tmp_path / "target").read_bytes() == b"old"
    assert plain.read_bytes() == TEXT
    assert (tmp_path / "sealed").read_bytes() == sealed
    assert names(tmp_path) == ["plain", "sealed", "target"]


KILLED = """
import os, signal, sys
from agentguard.keys import DataEncryption
box = DataEncryption(bytes(range(32)))
call = getattr(box, sys.argv[1])
call(sys.argv[2], sys.argv[3], progress=lambda size: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.parametrize("call", ["encrypt_file", "decrypt_file", "reencrypt_file"])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_kill_halfway_leaves_target_and_source_as_they_were(
    tmp_path: Path, plain: Path, call: str, in_place: bool
) -> None:
    source = plain
    if call != "encrypt_file":
        source = tmp_path / "sealed"
        BOX.encrypt_file(plain, source)
    before = source.read_bytes()
    (tmp_path / "target").write_bytes(b"old")
    target = source if in_place else tmp_path / "target"

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, call, str(source), str(target)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )

    assert killed.returncode == -signal.SIGKILL
    assert source.read_bytes() == before
    assert (tmp_path / "target").read_bytes() == b"old"
    left = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in left)


def _python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


# 1 GiB that takes no room on the disk, in an address space that grew by less than 64 MiB.
HUGE = """
import resource, sys
from agentguard.keys import DataEncryption
from agentguard.keys.files import SourceFile
box = DataEncryption(bytes(range(32)))
class Counter:
    total = 0
    def write(self, data):
        self.total += len(data)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)
counter = Counter()
with SourceFile(sys.argv[1]) as source:
    print(box.encrypt_stream(source.file, counter), counter.total)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's account of memory")
def test_a_huge_sparse_file_takes_constant_memory(tmp_path: Path) -> None:
    size = 2**30
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(size)

    chunks = size // CHUNK_BYTES
    assert _python(HUGE, str(tmp_path / "sparse")).split() == [
        str(size),
        str(size + HEADER_BYTES + chunks * TAG_BYTES),
    ]


@pytest.mark.parametrize("call", ["encrypt", "decrypt", "reencrypt"])
def test_memory_stays_at_a_few_chunks(tmp_path: Path, call: str) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(16 * 2**20)
    source = tmp_path / "sparse"
    if call != "encrypt":
        BOX.encrypt_file(source, tmp_path / "sealed")
        source = tmp_path / "sealed"

    tracemalloc.start()
    try:
        getattr(BOX, f"{call}_file")(source, tmp_path / "target")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10 * CHUNK_BYTES


# -- what is bound, and streams --------------------------------------------------------------------------------------


def test_a_file_opens_only_as_what_it_was_bound_to(tmp_path: Path, plain: Path) -> None:
    BOX.encrypt_file(plain, tmp_path / "sealed", associated_data=b"customer 1")

    assert BOX.decrypt_file(tmp_path / "sealed", tmp_path / "back", associated_data=b"customer 1") == len(TEXT)
    for attempt in (b"customer 2", b""):
        with pytest.raises(ForgedError):
            BOX.decrypt_file(tmp_path / "sealed", tmp_path / "other", associated_data=attempt)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", DecryptError),
        (b"plain text", DecryptError),
        (b"AGFILE\x09\n" + bytes(100), DecryptError),
        (b"AGFILE\x01\n" + bytes(20), ForgedError),
        (b"AGFILE\x01\n" + bytes(100), WrongKeyError),
        (b"AGSEAL\x02\n" + bytes(100), DecryptError),
    ],
    ids=["empty", "plain", "later-release", "cut", "other-key", "a-value"],
)
def test_what_is_no_encrypted_file_has_an_error_of_its_own(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    (tmp_path / "a").write_bytes(content)

    with pytest.raises(error) as caught:
        BOX.decrypt_file(tmp_path / "a", tmp_path / "b")
    assert type(caught.value) is error
    assert names(tmp_path) == ["a"]


def test_a_stream_is_written_only_when_all_of_it_is_genuine(tmp_path: Path, plain: Path) -> None:
    class Taken:
        data = b""

        def write(self, piece: bytes) -> None:
            self.data += piece

    BOX.encrypt_file(plain, tmp_path / "sealed")
    raw = (tmp_path / "sealed").read_bytes()
    for damaged in (raw[:-1], raw[: HEADER_BYTES + CHUNK_BYTES + TAG_BYTES], raw + b"x"):
        (tmp_path / "sealed").write_bytes(damaged)
        taken = Taken()
        with (tmp_path / "sealed").open("rb") as file, pytest.raises(ForgedError):
            BOX.decrypt_stream(file, taken)
        assert taken.data == b""

    (tmp_path / "sealed").write_bytes(raw)
    with (tmp_path / "sealed").open("rb") as file:
        assert BOX.decrypt_stream(file, taken) == len(TEXT)
    assert taken.data == TEXT


def test_progress_tells_every_byte_read(tmp_path: Path, plain: Path) -> None:
    told: list[int] = []
    BOX.encrypt_file(plain, tmp_path / "sealed", progress=told.append)

    assert (sum(told), max(told)) == (len(TEXT), CHUNK_BYTES)
