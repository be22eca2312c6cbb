"""From a password to a key: Argon2id (RFC 9106), and scrypt (RFC 7914) for what earlier releases made.

How a password was stretched (function, cost, salt) is kept beside what it opens, so that today's cost can rise while
yesterday's data still opens. One process stretches one password once for each salt.
"""

from __future__ import annotations

import functools
import hmac
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from agentguard.errors import ConfigError, MissingPasswordError, OversizedError, WeakPasswordError
from agentguard.keys.envelope import KEY_BYTES

__all__ = [
    "PASSWORD_VARIABLES",
    "TODAY",
    "Argon2Cost",
    "ScryptCost",
    "Stretching",
    "check_strength",
    "password_from_environment",
]

PASSWORD_VARIABLES = ("AGENTGUARD_MASTER_PASSWORD", "MASTER_PASSWORD")
# NIST SP 800-63B section 3.1.1.2: at least 8 characters, and none that lists of common passwords begin with.
MIN_CHARACTERS = 8
MIN_DISTINCT = 4
COMMON = frozenset(
    (
        *("password", "password1", "password12", "password123", "12345678", "123456789", "1234567890", "qwertyui"),
        *("qwerty123", "qwertyuiop", "iloveyou", "letmein1", "changeme", "changeit", "administrator", "admin123"),
        *("welcome1", "master123"),
    )
)
MAX_PASSWORD_BYTES = 4096
SALT_BYTES = 32
# The ceilings stop stored parameters that ask for more memory or time than there is; the floors stop a downgrade.
ARGON2_KIB_MIN, ARGON2_KIB_MAX = 19 * 1024, 1024 * 1024
ARGON2_PASSES_MAX, LANES_MAX = 16, 16
SCRYPT_N_MIN, SCRYPT_N_MAX = 2**14, 2**20


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What Argon2id costs: memory in KiB, passes over it, lanes.

    Raises:
        ConfigError: less than OWASP's least (19 MiB), or more than a machine should be asked for.
    """

    memory_kib: int
    passes: int
    lanes: int

    def __post_init__(self) -> None:
        for value, low, high in (
            (self.memory_kib, ARGON2_KIB_MIN, ARGON2_KIB_MAX),
            (self.passes, 1, ARGON2_PASSES_MAX),
            (self.lanes, 1, LANES_MAX),
        ):
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"Argon2id cost out of range: got {value!r}, need {low} to {high}")

    @property
    def work(self) -> int:
        """KiB written in all: what a guess costs."""
        return self.memory_kib * self.passes

    def stretch(self, password: bytes, salt: bytes) -> bytes:
        """The 32-byte key."""
        function = Argon2id(
            salt=salt, length=KEY_BYTES, iterations=self.passes, lanes=self.lanes, memory_cost=self.memory_kib
        )
        return function.derive(password)


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """What scrypt costs: N, a power of two, with r = 8 and p = 1.

    Raises:
        ConfigError: N is out of range.
    """

    n: int

    def __post_init__(self) -> None:
        if type(self.n) is not int or not SCRYPT_N_MIN <= self.n <= SCRYPT_N_MAX or self.n & (self.n - 1):
            raise ConfigError(f"scrypt needs n, a power of two from {SCRYPT_N_MIN} to {SCRYPT_N_MAX}")

    @property
    def work(self) -> int:
        """KiB written in all. Nothing is made with scrypt any more."""
        return 0

    def stretch(self, password: bytes, salt: bytes) -> bytes:
        """The 32-byte key."""
        return Scrypt(salt=salt, length=KEY_BYTES, n=self.n, r=8, p=1).derive(password)


Cost: TypeAlias = Argon2Cost | ScryptCost

# RFC 9106 section 4, second recommended choice: 64 MiB, three passes, four lanes.
TODAY = Argon2Cost(memory_kib=64 * 1024, passes=3, lanes=4)
_KINDS: Mapping[str, type[Argon2Cost] | type[ScryptCost]] = {"argon2id": Argon2Cost, "scrypt": ScryptCost}
# Tells passwords apart in the cache below without keeping them; worth nothing outside this process.
_PROCESS_SECRET = os.urandom(32)


@dataclass(frozen=True, slots=True)
class Stretching:
    """How one password was stretched: cost and salt, nothing secret."""

    cost: Cost
    salt: bytes

    @classmethod
    def fresh(cls, cost: Cost = TODAY) -> Stretching:
        """A random salt."""
        return cls(cost, os.urandom(SALT_BYTES))

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> Stretching:
        """What ``fields`` gave.

        Raises:
            ConfigError, KeyError, TypeError, ValueError: not that, or out of range.
        """
        kind = _KINDS[str(fields["kdf"])]
        salt = bytes.fromhex(str(fields["salt"]))
        if len(salt) != SALT_BYTES:
            raise ConfigError(f"a salt has {SALT_BYTES} bytes")
        return cls(kind(**{name: fields[name] for name in kind.__slots__}), salt)  # type: ignore[arg-type]

    def fields(self) -> dict[str, str | int]:
        """A JSON object."""
        name = next(name for name, kind in _KINDS.items() if isinstance(self.cost, kind))
        return {"kdf": name, **asdict(self.cost), "salt": self.salt.hex()}

    def weaker_than(self, cost: Argon2Cost) -> bool:
        """Whether a guess costs less than it would with ``cost``."""
        return self.cost.work < cost.work

    def key(self, password: str) -> bytes:
        """The 32-byte key; a second call in this process costs nothing.

        Raises:
            MissingPasswordError: it is empty.
            OversizedError: it is longer than any password.
        """
        if not password:
            raise MissingPasswordError("the master password is empty; set it")
        if len(password) > MAX_PASSWORD_BYTES:
            raise OversizedError(f"a master password has at most {MAX_PASSWORD_BYTES} characters")
        # Typed on another keyboard the same letters may be other code points (NIST SP 800-63B: normalise).
        text = unicodedata.normalize("NFKC", password) if isinstance(self.cost, Argon2Cost) else password
        return _stretched(self.cost, self.salt, _Password(text.encode("utf-8", "surrogatepass")))


class _Password:
    """A password as a key of the cache: equal by its keyed digest, forgotten once it was stretched."""

    __slots__ = ("_mark", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._mark = hmac.digest(_PROCESS_SECRET, text, "sha256")

    def __hash__(self) -> int:
        return hash(self._mark)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Password) and hmac.compare_digest(self._mark, other._mark)


@functools.lru_cache(maxsize=8)
def _stretched(cost: Cost, salt: bytes, password: _Password) -> bytes:
    text, password.text = password.text, b""
    return cost.stretch(text, salt)


def check_strength(password: str) -> None:
    """Refuse what would be guessed first. Asked where a password is chosen, not where one is used.

    Raises:
        WeakPasswordError: it is short, repeats a few characters, or is a common one.
    """
    if len(password) < MIN_CHARACTERS or len(set(password)) < MIN_DISTINCT or password.lower() in COMMON:
        raise WeakPasswordError(
            f"the new master password would be guessed; take {MIN_CHARACTERS} characters or more, {MIN_DISTINCT} of "
            "them different and no common password (better: five random words)"
        )


def password_from_environment() -> str | None:
    """The master password that the environment holds; None when it holds none."""
    return next((found for name in PASSWORD_VARIABLES if (found := os.environ.get(name))), None)
