"""Runs are kept in the state database, whichever it is, and what changed between them shows."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard import Home
from agentguard.posture import History, Item, Status, drift, history

STATUSES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(list(Status)))


def _items(**statuses: Status) -> list[Item]:
    return [Item(name, status, "seen") for name, status in statuses.items()]


def test_runs_come_back_oldest_first(state_home: Home) -> None:
    with closing(History(state_home)) as kept:
        kept.append(_items(a=Status.OK, b=Status.WEAK), at=10.5, policy="digest")
        kept.append(_items(a=Status.FAILED), at=20.0)
    with closing(History(state_home)) as again:
        runs = again.runs()
        newest = again.runs(1)

    assert [(run.at, run.policy, dict(run.statuses)) for run in runs] == [
        (10.5, "digest", {"a": Status.OK, "b": Status.WEAK}),
        (20.0, "", {"a": Status.FAILED}),
    ]
    assert newest == runs[1:]


def test_old_runs_go(state_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_RUNS", 3)

    with closing(History(state_home)) as kept:
        for at in range(5):
            kept.append(_items(a=Status.OK), at=float(at))
        runs = kept.runs()

    assert [run.at for run in runs] == [2.0, 3.0, 4.0]


def test_drift_names_what_changed_came_and_went() -> None:
    before = {"same": Status.OK, "worse": Status.OK, "gone": Status.WEAK}
    after = {"same": Status.OK, "worse": Status.FAILED, "new": Status.OK}

    assert drift(before, after) == {
        "worse": (Status.OK, Status.FAILED),
        "new": (None, Status.OK),
        "gone": (Status.WEAK, None),
    }


@given(before=STATUSES, after=STATUSES)
def test_drift_applied_to_the_earlier_run_gives_the_later(before: dict[str, Status], after: dict[str, Status]) -> None:
    changed = drift(before, after)

    moved = {**before, **{name: now for name, (_, now) in changed.items() if now is not None}}
    for name, (_, now) in changed.items():
        if now is None:
            del moved[name]

    assert moved == after
