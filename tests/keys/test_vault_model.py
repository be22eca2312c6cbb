"""Random histories of a vault against a model of a few lines: what may be read is the same after every step."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentguard.errors import KeyAbsentError, KeyExpiredError, WrongPasswordError
from agentguard.keys import Argon2Cost, KeyVault
from agentguard.keys.vault_state import Head, Version, total_digest

CHEAP = Argon2Cost(19 * 1024, 1, 1)
SERVICES = st.sampled_from(["a", "b"])
HOURS = st.integers(0, 3)
TIMES = st.floats(0, 1e12, allow_nan=False)


class VaultModel(RuleBasedStateMachine):
    """Every service as a dictionary of versions: value, end of its own time, end of its grace."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_800_000_000.0
        self.vault = KeyVault("made-up pass phrase", cost=CHEAP, clock=lambda: self.now)
        self.versions: dict[str, dict[int, list[float | str | None]]] = {}
        self.current: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.turn = 0

    def teardown(self) -> None:
        """Free the database."""
        self.vault.close()

    @rule(service=SERVICES, grace=HOURS, lasting=st.none() | st.integers(1, 3))
    def store(self, service: str, grace: int, lasting: int | None) -> None:
        self.turn += 1
        expires_in = None if lasting is None else timedelta(hours=lasting)
        number = self.vault.store_api_key(service, str(self.turn), grace=timedelta(hours=grace), expires_in=expires_in)

        assert number == self.last.get(service, 0) + 1
        versions = self.versions.setdefault(service, {})
        if service in self.current:
            versions[self.current[service]][2] = self.now + grace * 3600
        versions[number] = [str(self.turn), None if lasting is None else self.now + lasting * 3600, None]
        self.current[service] = self.last[service] = number
        self.prune()

    @rule(service=SERVICES, grace=HOURS)
    def roll_back(self, service: str, grace: int) -> None:
        present = self.current.get(service, 0)
        versions = self.versions.get(service, {})
        earlier = [number for number in versions if number < present and not self.over(versions[number][2])]
        try:
            number = self.vault.rollback_api_key(service, grace=timedelta(hours=grace))
        except KeyAbsentError:
            assert not earlier
            return
        except KeyExpiredError:
            assert self.over(versions[max(earlier)][1])
            return
        assert number == max(earlier)
        self.versions[service][present][2] = self.now + grace * 3600
        self.versions[service][number][2] = None
        self.current[service] = number
        self.prune()

    @rule(service=SERVICES)
    def destroy(self, service: str) -> None:
        try:
            self.vault.delete_api_key(service)
        except KeyAbsentError:
            assert service not in self.current
            return
        for held in (self.versions, self.current, self.last):
            del held[service]
        self.prune()

    @rule(hours=HOURS)
    def wait(self, hours: int) -> None:
        self.now += hours * 3600

    @rule(number=st.integers(0, 10**6))
    def rekey(self, number: int) -> None:
        self.turn += 1
        try:
            self.vault.rekey(f"made-up phrase {self.turn} {number}")
        except WrongPasswordError as error:
            raise AssertionError from error
        self.prune()

    @invariant()
    def reads_agree(self) -> None:
        for service in ("a", "b"):
            for number in (None, *range(1, self.last.get(service, 0) + 2)):
                assert self.read(service, number) == self.expected(service, number)

    def read(self, service: str, number: int | None) -> str:
        try:
            return self.vault.get_api_key(service, version=number)
        except (KeyAbsentError, KeyExpiredError) as error:
            return error.code

    def expected(self, service: str, number: int | None) -> str:
        found = self.versions.get(service, {}).get(number or self.current.get(service, 0))
        if found is None:
            return "key-absent"
        value, *ends = found
        return "key-expired" if any(map(self.over, ends)) else str(value)

    def over(self, end: float | str | None) -> bool:
        return end is not None and float(end) <= self.now

    def prune(self) -> None:
        for versions in self.versions.values():
            for number, (_, _, until) in list(versions.items()):
                if self.over(until):
                    del versions[number]


VaultModel.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestVaultModel = VaultModel.TestCase


@given(
    service=st.text(min_size=1, max_size=20),
    change=st.integers(0, 2**60),
    versions=st.lists(st.builds(Version, st.integers(1, 99), st.just("ab" * 32), TIMES, st.none() | TIMES), max_size=5),
)
def test_heads_come_back(service: str, change: int, versions: list[Version]) -> None:
    head = Head(service, change, 1, 9, tuple(versions))

    assert Head.decoded(head.encoded()) == head


@given(st.dictionaries(st.text(max_size=5), st.binary(min_size=32, max_size=32), max_size=5))
def test_the_digest_over_all_heads_is_one_whatever_their_order(macs: dict[str, bytes]) -> None:
    backwards = dict(reversed(list(macs.items())))

    assert total_digest(macs) == total_digest(backwards)
    for service in macs:
        assert total_digest({name: mac for name, mac in macs.items() if name != service}) != total_digest(macs)
