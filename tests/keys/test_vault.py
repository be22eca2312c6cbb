"""The vault: what was stored comes back, whatever is wrong has an error of its own, and nothing of a key ever shows."""

from __future__ import annotations

import logging
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from agentguard.errors import (
    AgentGuardError,
    ConfigError,
    ForgedError,
    KeyAbsentError,
    KeyExpiredError,
    MissingPasswordError,
    OversizedError,
    ReplayedError,
    StoreError,
    WeakPasswordError,
    WriteError,
    WrongPasswordError,
)
from agentguard.keys import Argon2Cost, KeyAccess, KeyVault
from agentguard.keys.vault_change import MAX_VERSIONS
from agentguard.keys.vault_input import MAX_NAME_CHARACTERS, MAX_VALUE_BYTES
from agentguard.store import Home, begin_immediate

PASSWORD = "made-up " + "pass phrase"
VALUE = "sk-made-up-" + "0123456789"
CHEAP = Argon2Cost(19 * 1024, 1, 1)
HOUR = timedelta(hours=1)


class Clock:
    """Seconds since 1970 that move when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, span: timedelta) -> None:
        self.now += span.total_seconds()


def memory(clock: Callable[[], float] = time.time, **more: object) -> KeyVault:
    return KeyVault(PASSWORD, clock=clock, cost=CHEAP, **more)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault(clock: Clock) -> Iterator[KeyVault]:
    with memory(clock) as made:
        yield made


def at(home: Home, password: str = PASSWORD, **more: object) -> KeyVault:
    return KeyVault(password, home=home, cost=CHEAP, **more)  # type: ignore[arg-type]


# -- values ----------------------------------------------------------------------------------------------------------


def test_a_stored_key_comes_back_and_only_its_ciphertext_is_kept(vault: KeyVault) -> None:
    assert vault.store_api_key("openai", VALUE) == 1

    assert vault.get_api_key("openai") == VALUE
    assert list(vault.encrypted_keys) == ["openai"]
    assert VALUE.encode() not in vault.encrypted_keys["openai"]
    assert len(vault.encrypted_keys) == 1
    assert "anthropic" not in vault.encrypted_keys


@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_text_comes_back(value: str) -> None:
    VAULT.store_api_key("any", value, grace=timedelta(0))

    assert VAULT.get_api_key("any") == value


VAULT = memory()


def test_keys_outlive_the_process_that_stored_them(state_home: Home) -> None:
    with at(state_home) as first:
        first.store_api_key("openai", VALUE)

    with at(state_home) as again:
        assert again.get_api_key("openai") == VALUE
        assert again.rotate_api_key("openai", "sk-new") == 2


def test_equal_values_have_unequal_ciphertexts_and_salts_differ(vault: KeyVault, clock: Clock) -> None:
    """One fixed salt and one key for all would show which services share a key."""
    vault.store_api_key("a", VALUE)
    vault.store_api_key("b", VALUE)
    with memory(clock) as other:
        other.store_api_key("a", VALUE)

        assert len({vault.encrypted_keys["a"], vault.encrypted_keys["b"], other.encrypted_keys["a"]}) == 3
        assert _stretching(vault) != _stretching(other)


def _stretching(vault: KeyVault) -> str:
    with vault._engine.begin() as connection:
        return str(connection.execute(select(vault._tables.masters.c.stretching)).scalar_one())


def test_names_that_differ_in_case_or_punctuation_do_not_collide(vault: KeyVault) -> None:
    names = ["openai", "OpenAI", "OPENAI", "open-ai", "open_ai", "open ai", "öpenai"]
    for name in names:
        vault.store_api_key(name, f"value of {name}")

    assert [vault.get_api_key(name) for name in names] == [f"value of {name}" for name in names]


def test_the_process_environment_is_left_alone(vault: KeyVault) -> None:
    before = dict(os.environ)

    vault.store_api_key("openai", VALUE)
    vault.rotate_api_key("openai", VALUE + "2")

    assert dict(os.environ) == before


# -- passwords -------------------------------------------------------------------------------------------------------


def test_no_password_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENTGUARD_MASTER_PASSWORD", "MASTER_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(MissingPasswordError, match="MASTER_PASSWORD"):
        KeyVault()
    assert issubclass(MissingPasswordError, ValueError)


def test_an_explicit_empty_password_does_not_fall_back_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PASSWORD", PASSWORD)

    with pytest.raises(MissingPasswordError):
        KeyVault("")


def test_the_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTGUARD_MASTER_PASSWORD", raising=False)
    monkeypatch.setenv("MASTER_PASSWORD", PASSWORD)

    with KeyVault(cost=CHEAP) as vault:
        vault.store_api_key("openai", VALUE)
        assert vault.get_api_key("openai") == VALUE


@pytest.mark.parametrize("weak", ["short", "aaaaaaaaaaaa", "Password123", "12345678", "abababababab"])
def test_a_weak_password_opens_no_new_vault(weak: str) -> None:
    with pytest.raises(WeakPasswordError) as caught:
        KeyVault(weak, cost=CHEAP)
    assert weak not in str(caught.value)


def test_an_oversized_password_is_refused() -> None:
    with pytest.raises(OversizedError):
        KeyVault("long pass" * 1000, cost=CHEAP)


def test_a_wrong_password_is_told_apart_from_absence_and_damage(state_home: Home) -> None:
    with at(state_home) as vault:
        vault.store_api_key("openai", VALUE)

    with pytest.raises(WrongPasswordError) as caught:
        at(state_home, PASSWORD + "!")
    assert PASSWORD not in str(caught.value)


def test_the_same_password_typed_in_other_code_points_opens(state_home: Home) -> None:
    at(state_home, "pässwörd fünf").close()

    at(state_home, "pa\u0308sswo\u0308rd fu\u0308nf").close()


def test_stretching_is_paid_once_per_process_and_never_per_get(
    state_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid: list[int] = []
    real = Argon2Cost.stretch

    def counted(cost: Argon2Cost, password: bytes, salt: bytes) -> bytes:
        paid.append(1)
        return real(cost, password, salt)

    monkeypatch.setattr(Argon2Cost, "stretch", counted)
    with at(state_home, "another made-up phrase") as vault:
        vault.store_api_key("openai", VALUE)
        for _ in range(20):
            vault.get_api_key("openai")

    at(state_home, "another made-up phrase").close()

    assert len(paid) == 1


def test_weaker_stored_parameters_are_upgraded_when_the_vault_is_opened(state_home: Home) -> None:
    with at(state_home) as vault:
        vault.store_api_key("openai", VALUE)
        before = _stretching(vault)

    stronger = Argon2Cost(2 * 19 * 1024, 1, 1)
    with KeyVault(PASSWORD, home=state_home, cost=stronger) as vault:
        assert vault.get_api_key("openai") == VALUE
        assert before != _stretching(vault)
        assert f'"memory_kib": {stronger.memory_kib}' in _stretching(vault)

    with at(state_home) as vault:  # and are not brought down again
        assert f'"memory_kib": {stronger.memory_kib}' in _stretching(vault)


# -- absence, expiry, versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda v: v.get_api_key("none"), id="get"),
        pytest.param(lambda v: v.rotate_api_key("none", VALUE), id="rotate"),
        pytest.param(lambda v: v.rollback_api_key("none"), id="rollback"),
        pytest.param(lambda v: v.delete_api_key("none"), id="delete"),
        pytest.param(lambda v: v.encrypted_keys["none"], id="ciphertext"),
        pytest.param(lambda v: v.get_api_key("there", version=2), id="version"),
        pytest.param(lambda v: v.rollback_api_key("there"), id="rollback-of-the-first"),
        pytest.param(lambda v: v.rollback_api_key("there", to=7), id="rollback-to-none"),
    ],
)
def test_what_is_not_there_is_absent_and_never_none(vault: KeyVault, attempt: Callable[[KeyVault], object]) -> None:
    vault.store_api_key("there", VALUE)

    with pytest.raises(KeyAbsentError) as caught:
        attempt(vault)
    assert str(caught.value) == caught.value.args[0]  # a bare KeyError would show it in quotes


def test_rotation_keeps_the_old_version_for_its_grace_and_then_destroys_it(vault: KeyVault, clock: Clock) -> None:
    vault.store_api_key("openai", "old")
    assert vault.rotate_api_key("openai", "new", grace=HOUR) == 2
    assert (vault.get_api_key("openai"), vault.get_api_key("openai", version=1)) == ("new", "old")

    clock.advance(HOUR)

    with pytest.raises(KeyExpiredError, match="grace"):
        vault.get_api_key("openai", version=1)
    with pytest.raises(KeyAbsentError, match="grace"):
        vault.rollback_api_key("openai")
    assert len(_entries(vault)) == 2
    vault.store_api_key("other", VALUE)  # any write destroys what is over
    with pytest.raises(KeyAbsentError):
        vault.get_api_key("openai", version=1)
    assert [row[0] for row in _entries(vault)] == [("openai", 2), ("other", 1)]


def _entries(vault: KeyVault) -> list[tuple[tuple[str, int], bytes]]:
    table = vault._tables.entries
    with vault._engine.begin() as connection:
        rows = connection.execute(select(table).order_by(table.c.service, table.c.version)).all()
    return [((row.service, row.version), row.ciphertext) for row in rows]


def test_no_grace_destroys_the_old_version_at_once(vault: KeyVault) -> None:
    vault.store_api_key("openai", "old")
    vault.rotate_api_key("openai", "new", grace=timedelta(0))

    assert [row[0] for row in _entries(vault)] == [("openai", 2)]
    with pytest.raises(KeyAbsentError):
        vault.rollback_api_key("openai")


def test_rollback_and_forward_again(vault: KeyVault, clock: Clock) -> None:
    vault.store_api_key("openai", "one")
    vault.rotate_api_key("openai", "two", grace=HOUR)

    assert vault.rollback_api_key("openai", grace=HOUR) == 1
    clock.advance(2 * HOUR)  # the grace that version 1 had is no more: it is current
    assert vault.get_api_key("openai") == "one"

    assert vault.rotate_api_key("openai", "three") == 3  # a number is never used twice
    assert vault.rollback_api_key("openai", to=1) == 1
    assert vault.rollback_api_key("openai", to=3) == 3
    assert vault.get_api_key("openai") == "three"


def test_an_expired_value_is_refused_and_cannot_be_rolled_back_to(vault: KeyVault, clock: Clock) -> None:
    vault.store_api_key("openai", "one", expires_in=HOUR)
    assert vault.get_api_key("openai") == "one"
    clock.advance(HOUR)

    with pytest.raises(KeyExpiredError, match="rotate"):
        vault.get_api_key("openai")
    vault.rotate_api_key("openai", "two")
    assert vault.get_api_key("openai") == "two"
    with pytest.raises(KeyExpiredError):
        vault.rollback_api_key("openai")


def test_the_report_tells_ages_versions_and_expiry_and_no_value(vault: KeyVault, clock: Clock) -> None:
    vault.store_api_key("old", VALUE, expires_in=timedelta(days=100))
    clock.advance(timedelta(days=91))
    vault.store_api_key("new", VALUE)
    vault.rotate_api_key("new", VALUE + "2")

    reports = {report.service: report for report in vault.list_api_keys()}

    assert (reports["old"].due, reports["old"].expired, reports["old"].age) == (True, False, timedelta(days=91))
    assert (reports["new"].due, reports["new"].versions, reports["new"].version) == (False, (1, 2), 2)
    assert reports["old"].expires_at is not None
    assert reports["old"].expires_at.tzinfo is not None
    assert VALUE not in repr(reports)
    clock.advance(timedelta(days=9))
    assert {report.service: report.expired for report in vault.list_api_keys()} == {"old": True, "new": False}


def test_a_rotation_in_a_loop_is_bounded(vault: KeyVault) -> None:
    for number in range(MAX_VERSIONS + 5):
        vault.store_api_key("loop", str(number))

    (report,) = vault.list_api_keys()
    assert (len(report.versions), report.version) == (MAX_VERSIONS, MAX_VERSIONS + 5)
    assert vault.get_api_key("loop") == str(MAX_VERSIONS + 4)


def test_deletion_destroys_every_version(vault: KeyVault) -> None:
    vault.store_api_key("openai", "one")
    vault.rotate_api_key("openai", "two")

    vault.delete_api_key("openai")

    assert _entries(vault) == []
    with pytest.raises(KeyAbsentError):
        vault.get_api_key("openai")


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "value", "error"),
    [
        pytest.param("", VALUE, ConfigError, id="no-name"),
        pytest.param(" a", VALUE, ConfigError, id="space-before"),
        pytest.param("a\x00b", VALUE, ConfigError, id="control"),
        pytest.param("a\u202eb", VALUE, ConfigError, id="bidi"),
        pytest.param("a\ud800", VALUE, ConfigError, id="surrogate-name"),
        pytest.param("o\u0308", VALUE, ConfigError, id="not-nfc"),
        pytest.param("a" * (MAX_NAME_CHARACTERS + 1), VALUE, OversizedError, id="long-name"),
        pytest.param("a", "", ConfigError, id="no-value"),
        pytest.param("a", "x\ud800", ConfigError, id="surrogate-value"),
        pytest.param("a", "x" * (MAX_VALUE_BYTES + 1), OversizedError, id="long-value"),
        pytest.param("a", None, ConfigError, id="none"),
        pytest.param("a", b"bytes", ConfigError, id="bytes"),
    ],
)
def test_bad_input_changes_nothing(vault: KeyVault, service: str, value: str, error: type[AgentGuardError]) -> None:
    vault.store_api_key("a", "kept")

    with pytest.raises(error) as caught:
        vault.store_api_key(service, value)

    assert not value or str(value)[:12] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert [report.service for report in vault.list_api_keys()] == ["a"]
    assert vault.get_api_key("a") == "kept"


@pytest.mark.parametrize("span", [timedelta(seconds=-1), timedelta(days=40_000)], ids=["negative", "for-ever"])
def test_time_spans_out_of_range_are_refused(vault: KeyVault, span: timedelta) -> None:
    with pytest.raises(ConfigError):
        vault.store_api_key("a", VALUE, grace=span)
    with pytest.raises(ConfigError):
        vault.store_api_key("a", VALUE, expires_in=span)


def test_too_many_services_are_refused(vault: KeyVault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentguard.keys.vault_change.MAX_SERVICES", 2)
    vault.store_api_key("a", VALUE)
    vault.store_api_key("b", VALUE)

    with pytest.raises(OversizedError):
        vault.store_api_key("c", VALUE)
    assert vault.store_api_key("b", VALUE) == 2


# -- damage and replay -----------------------------------------------------------------------------------------------


def _flip(raw: bytes, place: int = -1) -> bytes:
    changed = bytearray(raw)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("vault", "digest"),
        ("vault", "mac"),
        ("masters", "wrapped"),
        ("masters", "checksum"),
        ("heads", "head"),
        ("heads", "mac"),
        ("entries", "wrapped"),
        ("entries", "ciphertext"),
    ],
)
def test_a_flipped_bit_anywhere_is_forged(state_home: Home, table: str, column: str) -> None:
    with at(state_home) as vault:
        vault.store_api_key("openai", VALUE)
        found = getattr(vault._tables, table)
        with begin_immediate(vault._engine) as connection:
            raw = connection.execute(select(found.c[column])).scalar_one()
            connection.execute(update(found).values({column: _flip(raw, 3)}))

    with pytest.raises(ForgedError) as caught, at(state_home) as again:
        again.get_api_key("openai")
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("vault", "change", 99),
        ("heads", "current", 1),
        ("masters", "password_id", "00" * 32),
        ("masters", "stretching", '{"kdf": "argon2id", "memory_kib": 19456, "passes": 1, "lanes": 1, "salt": "00"}'),
    ],
)
def test_changed_numbers_and_parameters_are_forged(state_home: Home, table: str, column: str, value: object) -> None:
    with at(state_home) as vault:
        vault.store_api_key("openai", "one")
        vault.rotate_api_key("openai", "two")
        with begin_immediate(vault._engine) as connection:
            connection.execute(update(getattr(vault._tables, table)).values({column: value}))

    with pytest.raises(ForgedError), at(state_home) as again:
        again.get_api_key("openai")


@pytest.mark.parametrize("part", ["wrapped", "ciphertext", "both"])
def test_an_older_sealed_value_in_place_of_a_newer_one_is_forged(vault: KeyVault, part: str) -> None:
    vault.store_api_key("openai", "revoked")
    vault.rotate_api_key("openai", "current")

    _transplant(vault, ("openai", 1), ("openai", 2), part)

    with pytest.raises(ForgedError, match="version 2"):
        vault.get_api_key("openai")


def test_a_value_of_another_service_is_forged(vault: KeyVault) -> None:
    vault.store_api_key("mine", "mine")
    vault.store_api_key("theirs", "theirs")

    _transplant(vault, ("theirs", 1), ("mine", 1), "both")

    with pytest.raises(ForgedError):
        vault.get_api_key("mine")
    assert vault.get_api_key("theirs") == "theirs"


def _transplant(vault: KeyVault, source: tuple[str, int], target: tuple[str, int], part: str) -> None:
    table = vault._tables.entries
    with begin_immediate(vault._engine) as connection:

        def place(key: tuple[str, int]) -> object:
            return (table.c.service == key[0]) & (table.c.version == key[1])

        row = connection.execute(select(table).where(place(source))).one()  # type: ignore[arg-type]
        both = {"wrapped": row.wrapped, "ciphertext": row.ciphertext}
        values = both if part == "both" else {part: both[part]}
        connection.execute(update(table).where(place(target)).values(values))  # type: ignore[arg-type]


def _copied(vault: KeyVault, *names: str) -> dict[str, list[dict[str, object]]]:
    with vault._engine.begin() as connection:
        return {
            name: [dict(row) for row in connection.execute(select(getattr(vault._tables, name))).mappings()]
            for name in names
        }


def _restored(vault: KeyVault, copy: dict[str, list[dict[str, object]]]) -> None:
    with begin_immediate(vault._engine) as connection:
        for name, rows in copy.items():
            table = getattr(vault._tables, name)
            connection.execute(delete(table))
            connection.execute(insert(table), rows)


def test_one_services_older_rows_put_back_are_noticed(state_home: Home) -> None:
    """Head and entries are genuine and fit each other; the vault knows that they are not the newest."""
    with at(state_home) as vault:
        vault.store_api_key("openai", "revoked")
        old = _copied(vault, "heads", "entries")
        vault.rotate_api_key("openai", "current", grace=timedelta(0))
        _restored(vault, old)

        for attempt in (vault.list_api_keys, lambda: vault.store_api_key("x", VALUE)):
            with pytest.raises(ForgedError, match="older copy"):
                attempt()
    with pytest.raises(ForgedError):
        at(state_home)


def test_the_whole_vault_put_back_is_replayed_for_whoever_saw_the_newer(state_home: Home) -> None:
    with at(state_home) as vault:
        vault.store_api_key("openai", "revoked")
        old = _copied(vault, "vault", "heads", "entries")
        vault.rotate_api_key("openai", "current", grace=timedelta(0))
        assert vault.get_api_key("openai") == "current"
        _restored(vault, old)

        for attempt in (lambda: vault.get_api_key("openai"), vault.list_api_keys):
            with pytest.raises(ReplayedError, match="older copy"):
                attempt()


@pytest.mark.parametrize("name", ["vault", "heads", "entries"])
def test_removed_rows_are_noticed(state_home: Home, name: str) -> None:
    with at(state_home) as vault:
        vault.store_api_key("openai", VALUE)
        with begin_immediate(vault._engine) as connection:
            connection.execute(delete(getattr(vault._tables, name)))

        with pytest.raises((ForgedError, ReplayedError, KeyAbsentError)):
            vault.get_api_key("openai")
        if name == "heads":  # a get finds nothing; whoever reads all sees what is missing
            with pytest.raises(ForgedError, match="removed"):
                vault.list_api_keys()


def test_cve_2020_8897_a_data_key_that_is_not_the_committed_one_is_forged(vault: KeyVault) -> None:
    from agentguard.keys import DataKey, wrap

    vault.store_api_key("openai", VALUE)
    other = DataKey.generate()
    table = vault._tables.entries
    with begin_immediate(vault._engine) as connection:
        bound = vault._keyed._bound("openai", 1)
        crafted = wrap(other, kek=vault._keyed.master.key, associated_data=bound)
        connection.execute(update(table).values(wrapped=crafted))

    with pytest.raises(ForgedError):
        vault.get_api_key("openai")


# -- the record ------------------------------------------------------------------------------------------------------


def test_every_access_is_recorded_with_service_and_version_and_no_value(clock: Clock) -> None:
    told: list[KeyAccess] = []
    with memory(clock, record=told.append) as vault:
        vault.store_api_key("openai", VALUE)
        vault.rotate_api_key("openai", VALUE + "2")
        vault.get_api_key("openai")
        vault.rollback_api_key("openai")
        vault.list_api_keys()
        with pytest.raises(KeyAbsentError):
            vault.get_api_key("none")
        vault.rekey("another made-up phrase")
        vault.delete_api_key("openai")

    assert [(access.action, access.service, access.version, access.reason) for access in told] == [
        ("open", None, None, None),
        ("store", "openai", 1, None),
        ("rotate", "openai", 2, None),
        ("get", "openai", 2, None),
        ("rollback", "openai", 1, None),
        ("list", None, None, None),
        ("get", "none", None, "key-absent"),
        ("rekey", None, None, None),
        ("delete", "openai", None, None),
    ]
    assert VALUE not in repr(told)


def test_a_wrong_password_is_recorded(state_home: Home) -> None:
    told: list[KeyAccess] = []
    at(state_home).close()

    with pytest.raises(WrongPasswordError):
        at(state_home, PASSWORD + "!", record=told.append)

    assert told == [KeyAccess("open", None, None, success=False, reason="password-wrong")]


def test_no_record_no_access(clock: Clock) -> None:
    refuse = False

    def record(_access: KeyAccess) -> None:
        if refuse:
            raise WriteError("disk full")

    with memory(clock, record=record) as vault:
        vault.store_api_key("openai", "kept")
        refuse = True
        attempts: list[Callable[[], object]] = [
            lambda: vault.get_api_key("openai"),
            lambda: vault.rotate_api_key("openai", "lost"),
            lambda: vault.rollback_api_key("openai"),
            lambda: vault.delete_api_key("openai"),
            lambda: vault.rekey("another made-up phrase"),
        ]
        for attempt in attempts:
            with pytest.raises((WriteError, KeyAbsentError)):
                attempt()
        refuse = False
        assert vault.get_api_key("openai") == "kept"
        assert vault.list_api_keys()[0].versions == (1,)


# -- nothing shows ---------------------------------------------------------------------------------------------------


def test_no_repr_error_or_log_holds_key_material(state_home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with at(state_home) as vault:
        vault.store_api_key("openai", VALUE)
        shown = [repr(vault), repr(vault.__dict__), repr(vault._keyed), repr(vault._keyed.master)]
        with begin_immediate(vault._engine) as connection:
            raw = connection.execute(select(vault._tables.entries.c.ciphertext)).scalar_one()
            connection.execute(update(vault._tables.entries).values(ciphertext=_flip(raw)))
        try:
            vault.get_api_key("openai")
        except ForgedError as error:
            shown.append("".join(traceback.format_exception(error)))

        master = vault._keyed.master.key
        for text in [*shown, caplog.text]:
            for secret in (PASSWORD, VALUE, master.hex(), repr(master)[2:-1]):
                assert secret not in text
    assert len(shown) == 5


def test_a_vault_cannot_be_pickled(vault: KeyVault) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(vault)


def test_the_database_holds_neither_value_nor_password(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "h")
    with at(home) as vault:
        vault.store_api_key("openai", VALUE)
        vault.rotate_api_key("openai", VALUE + "2")

        held = b"".join(path.read_bytes() for path in home.path.iterdir())
        assert VALUE.encode() not in held
        assert PASSWORD.encode() not in held
        assert vault._keyed.master.key not in held
        assert {path.stat().st_mode & 0o077 for path in home.path.iterdir()} == {0}


def test_an_unusable_home_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        KeyVault(PASSWORD, home=tmp_path / "none", cost=CHEAP)
