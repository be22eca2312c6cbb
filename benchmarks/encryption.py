"""Files and API keys: what encryption costs next to a chunked copy and AES-GCM in memory of the same file, in one run.

The reference does the same work without the guarantees: a copy in chunks of the same size, flushed to the disk as the
encrypted file is, plus AES-GCM over the same bytes held in memory. Memory is the peak of Python's own allocations.
"""

from __future__ import annotations

import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentguard import DataEncryption, Home
from agentguard.keys import KeyVault
from agentguard.keys.stream import CHUNK_BYTES
from benchmarks.report import Row, Table

MEGABYTES = 256
ROUNDS = 5
GETS = 400
PASSWORD = "made-up pass phrase"


def measure() -> tuple[Table, Table]:
    """Throughput of files, and microseconds of a vault's calls; minima of several rounds."""
    with tempfile.TemporaryDirectory() as folder:
        return _files(Path(folder)), _vault(Path(folder))


def main() -> None:
    """Print both tables."""
    for table in measure():
        print(table)


def _files(folder: Path) -> Table:
    plain, sealed, other = folder / "plain", folder / "sealed", folder / "other"
    _write(plain)
    whole = plain.read_bytes()
    cipher, box = AESGCM(os.urandom(32)), DataEncryption()
    box.encrypt_file(plain, sealed)
    works: dict[str, Callable[[], object]] = {
        "copy in chunks": lambda: _copy(plain, other),
        "AES-GCM in memory": lambda: cipher.encrypt(bytes(12), whole, None),
        "encrypt_file": lambda: box.encrypt_file(plain, other),
        "decrypt_file": lambda: box.decrypt_file(sealed, other),
    }
    # Interleaved: whatever else the machine does meets all alike.
    rounds = [{name: _timed(work) for name, work in works.items()} for _ in range(ROUNDS)]
    wall = {name: min(found[name][0] for found in rounds) for name in works}
    cpu = {name: min(found[name][1] for found in rounds) for name in works}
    wall_sum, cpu_sum = (best["copy in chunks"] + best["AES-GCM in memory"] for best in (wall, cpu))
    rows = [_file_row(name, wall[name], cpu[name], wall_sum, cpu_sum) for name in works]
    rows.insert(2, _file_row("copy plus AES-GCM: the reference", wall_sum, cpu_sum, wall_sum, cpu_sum))
    peaks = [_peak(partial(box.encrypt_file, part, other)) for part in (_part(plain, folder, 8), plain)]
    rows.append(Row("peak memory of encrypt_file, 8 MB and 256 MB", f"{peaks[0]:.0f} KB", f"{peaks[1]:.0f} KB", "", ""))
    columns = (f"{MEGABYTES} MB file", "wall", "CPU", "of the reference, wall", "of the reference, CPU")
    return Table(f"File encryption, minima of {ROUNDS} rounds", columns, tuple(rows))


def _file_row(name: str, wall: float, cpu: float, wall_sum: float, cpu_sum: float) -> Row:
    speeds = f"{MEGABYTES / wall:.0f} MB/s", f"{MEGABYTES / cpu:.0f} MB/s"
    return Row(name, *speeds, f"{wall_sum / wall:.0%}", f"{cpu_sum / cpu:.0%}")


def _vault(folder: Path) -> Table:
    home = Home.create(folder / "home")
    rows = []
    opening = _timed(lambda: KeyVault(PASSWORD, home=home).close())
    again = min(_timed(lambda: KeyVault(PASSWORD, home=home).close()) for _ in range(ROUNDS))
    rows.append(_vault_row("open, password stretched (once a process)", opening))
    rows.append(_vault_row("open again in the same process", again))
    with KeyVault(PASSWORD, home=home) as vault:
        for number in range(100):
            vault.store_api_key(f"service-{number}", "sk-made-up")
        gets = [_timed(lambda: vault.get_api_key("service-7")) for _ in range(GETS)]
        rows.append(_vault_row("get, of 100 services", min(gets)))
        rotations = [_timed(lambda: vault.rotate_api_key("service-7", "sk-made-up")) for _ in range(20)]
        rows.append(_vault_row("rotate, of 100 services", min(rotations)))
    return Table("The vault, minima", ("call", "wall", "CPU"), tuple(rows))


def _vault_row(name: str, seconds: tuple[float, float]) -> Row:
    return Row(name, *(f"{value * 1e6:,.0f} us" for value in seconds))


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _peak(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def _write(path: Path) -> None:
    block = os.urandom(1024 * 1024)
    with path.open("wb") as file:
        for _ in range(MEGABYTES):
            file.write(block)


def _part(path: Path, folder: Path, megabytes: int) -> Path:
    part = folder / "part"
    with path.open("rb") as file:
        part.write_bytes(file.read(megabytes * 1024 * 1024))
    return part


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as plain, target.open("wb") as out:
        while chunk := plain.read(CHUNK_BYTES):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


if __name__ == "__main__":
    main()
