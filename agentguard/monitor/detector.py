"""``AnomalyDetector``: takes activity in, scores it in windows on a thread of its own, and raises alerts.

Two kinds of activity come in: decisions of a guard (``listener``), and samples that an application reports
(``record_activity``). At the caller either costs one entry in a bounded queue. Everything else (measuring, scoring,
learning, storing, delivering) happens on the scoring thread, or when somebody reads ``alerts``.

With a state database the processes of a home share one set of baselines, and alerts, baselines and undelivered
notices outlive them. Without one everything is in memory.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from agentguard.errors import AgentGuardError, ConfigError
from agentguard.event import Json, Principal
from agentguard.monitor.activity import Recorder, Taken
from agentguard.monitor.alert import Alert, Message
from agentguard.monitor.baseline import value_hash
from agentguard.monitor.delivery import Deliverer
from agentguard.monitor.samples import Activity, Samples, Strange
from agentguard.monitor.scorer import DAY_S, Anomaly, Observation, Scorer

if TYPE_CHECKING:
    from agentguard.monitor.alert import AlertBook
    from agentguard.monitor.state import MonitorState

__all__ = ["AnomalyDetector"]

_log = logging.getLogger("agentguard")

MAX_SAMPLES = 50_000
# Alerts kept in memory when there is no state database, and those that ``alerts`` returns.
MAX_ALERTS = 1_000
# Texts of new values, kept until the hour in which they are scored is over.
MAX_TEXTS = 10_000
MAX_NAME = 256
# Recipients of one call that are looked at.
MAX_RECIPIENTS = 200
NUMBERS = ("api_calls", "tokens", "errors", "total")


class AnomalyDetector:
    """Learns what is usual for each principal and says what is not. Thread-safe; safe to keep across ``fork``.

    Args:
        state: baselines shared by processes; in memory when absent.
        book: alerts as groups with history and delivery; in memory when absent.
        deliverer: is woken when there is something to deliver, and closed with this object.
        recorder: takes a guard's decisions down.
        respond: called with each new or worse alert and the principal's key; what it raises is logged.
        subject: one text per verified identity; the keys of risk states are made alike.
        role: the role a principal is compared with while it has no baseline; empty for none.
        redact: cleans every text in an alert.
        capacity: principals, tools, roles and tenants remembered at most.
        false_alerts: how many a principal and month may be expected.
        interval_s: seconds between two looks at the queue.
        clock: seconds since 1970.
        closing: called when this object is closed.

    Raises:
        ConfigError: a number is out of range.
    """

    # What cleans texts when nothing was handed in. Detection lies above this package and sets it in a subclass.
    default_redact: Callable[[str], str] = staticmethod(str)

    def __init__(
        self,
        *,
        state: MonitorState | None = None,
        book: AlertBook | None = None,
        deliverer: Deliverer | None = None,
        recorder: Recorder | None = None,
        respond: Callable[[Alert, str], None] | None = None,
        subject: Callable[[Principal], str] = lambda principal: f"{principal.kind}/{principal.id}",
        role: Callable[[Principal], str] = lambda principal: principal.roles[0] if principal.roles else "",
        redact: Callable[[str], str] | None = None,
        capacity: int = 100_000,
        false_alerts: float = 1.0,
        interval_s: float = 5.0,
        clock: Callable[[], float] = time.time,
        closing: Callable[[], None] | None = None,
    ) -> None:
        if not 0 < false_alerts <= 100 or not interval_s > 0:
            raise ConfigError("false_alerts takes a number above 0 and up to 100, interval_s seconds above 0")
        # A recorder with an empty queue has length 0, and is one all the same.
        self.listener = recorder if recorder is not None else Recorder(clock=clock)
        self._state: MonitorState | None = state
        self._book: AlertBook | None = book
        self._deliverer: Deliverer | None = deliverer
        self._respond, self._subject, self._role = respond, subject, role
        self._redact = redact or self.default_redact
        self._clock, self._closing = clock, closing
        self._interval_s = interval_s
        self._capacity, self._false_alerts = capacity, false_alerts
        self._scorer = Scorer(capacity=capacity, budget=false_alerts)
        self._samples = Samples(capacity=capacity, budget=false_alerts)
        self._queue: deque[tuple[float, str, tuple[float, ...], str]] = deque()
        self._dropped = 0
        self._told: deque[dict[str, Json]] = deque(maxlen=MAX_ALERTS)
        self._texts: OrderedDict[int, str] = OrderedDict()
        self._hash_key: bytes | None = None
        self._leading = False
        self._working = threading.RLock()
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    # -- taking in ------------------------------------------------------------------------------------------------

    def record_activity(self, user_id: str, activity: Mapping[str, object]) -> None:
        """Take one sample of a user: ``api_calls``, ``tokens``, ``errors`` of ``total``, ``ip_address``; all optional.

        Raises:
            ConfigError: a number is negative, not finite or no number, a name is no text.
        """
        numbers = tuple(_number(name, activity.get(name, 0)) for name in NUMBERS)
        address = activity.get("ip_address") or ""
        named: object = user_id
        if not isinstance(named, str) or not named or not isinstance(address, str):
            raise ConfigError("user_id and ip_address are texts, and a user has an id")
        if len(self._queue) >= MAX_SAMPLES:
            self._dropped += 1
            return
        self._queue.append((self._clock(), user_id[:MAX_NAME], numbers, address[:MAX_NAME]))
        self._ensure_thread()

    @property
    def alerts(self) -> list[dict[str, Json]]:
        """Alerts so far, oldest first: ``timestamp`` (ISO 8601), ``user_id``, ``anomalies`` (texts), ``severity``.

        What is queued is scored first.
        """
        self.flush()
        with self._working:
            return [dict(alert) for alert in self._told]

    @property
    def dropped(self) -> int:
        """Events that were never scored because a queue was full; of all processes, with a state database."""
        self.flush()
        return self._dropped + (self._state.dropped() if self._state is not None else 0)

    def standing(self, user_id: str) -> Literal["unknown", "known"]:
        """Whether a user of ``record_activity``, or a principal's key, has a baseline. Unknown is not normal."""
        self.flush()
        with self._working:
            known = self._samples.known(user_id) or self._scorer.known(f"principal:{user_id}")
        return "known" if known else "unknown"

    # -- working --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin scoring on a thread; the first sample does so too."""
        self._ensure_thread()

    def flush(self) -> None:
        """Score everything that is queued, now and in this thread."""
        with self._working:
            self._score_samples()
            self._score_events()

    def close(self) -> None:
        """Score what is queued, store, and stop; undelivered alerts stay in the store."""
        self._closed = True
        self._wake.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(timeout=30)
        try:
            self.flush()
            if self._state is not None and self._leading:
                self._state.resign()
        except AgentGuardError as error:
            _log.error("monitoring could not store what it saw last: %s", error)
        if self._deliverer is not None:
            self._deliverer.close()
        for part in (self._state, self._book):
            if part is not None:
                part.close()
        if self._closing is not None:
            self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ensure_thread(self) -> None:
        if (self._thread is not None and self._pid == os.getpid()) or self._closed:
            return
        if self._pid != os.getpid():
            # A child of fork: the lock may have been held, and the queue's entries belong to the parent.
            self._pid, self._working, self._wake = os.getpid(), threading.RLock(), threading.Event()
            self._leading = False
        self._thread = threading.Thread(target=self._work, name="agentguard-monitor", daemon=True)
        self._thread.start()
        if self._deliverer is not None:
            self._deliverer.start()

    def _work(self) -> None:
        while not self._closed:
            if self._wake.wait(self._interval_s):
                return
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001  # monitoring that fails must be heard of, and must go on
                _log.error("monitoring failed: %s", error if isinstance(error, AgentGuardError) else type(error))

    def _score_samples(self) -> None:
        for _ in range(len(self._queue)):
            at, user, numbers, address = self._queue.popleft()
            hashed = self._hashed(address) if address else 0
            found = self._samples.observe(user, Activity(numbers[0], numbers[1], numbers[2], numbers[3], hashed), at)
            if found:
                self._tell_sample(user, found, at, address)

    def _score_events(self) -> None:
        taken, dropped = self.listener.take()
        events = [event for entry in taken for event in self._observed(entry)]
        if self._state is None:
            self._dropped += dropped
            self._advance(events)
            return
        if dropped:
            self._state.add_dropped(dropped)
        if events:
            self._state.put(events)
        if not self._state.lead():
            self._leading = False
            return
        if not self._leading:
            self._take_over(self._state)
        while batches := self._state.batches():
            self._advance([event for _, batch in batches for event in batch])
            if not self._store(self._state, [name for name, _ in batches]):
                self._leading = False
                return
        self._advance([])

    def _advance(self, events: list[list[object]]) -> None:
        observations = sorted(filter(None, map(_observation, events)), key=lambda seen: seen.time)
        found: list[Anomaly] = []
        start = 0
        # Whole windows at a time, so that an event is never counted in another hour than its own.
        for index, seen in enumerate(observations):
            if self._scorer.ends_window(seen.time):
                self._scorer.absorb(observations[start:index])
                start = index
                found += self._scorer.advance(seen.time)
        self._scorer.absorb(observations[start:])
        found += self._scorer.advance(max(self._clock(), observations[-1].time if observations else 0.0))
        for anomaly in found:
            self._tell(anomaly)

    def _observed(self, taken: Taken) -> list[list[object]]:
        measured = self.listener.measured(taken)
        at, principal, address, denied, _ = taken
        tenant = principal.tenant or ""
        role = self._role(principal)
        recipients = [self._hashed(name) for name in measured.recipients] or [0]
        # Fields of ``Observation`` in their order; a list, so that a batch is plain JSON.
        who = [
            at,
            f"principal:{self._subject(principal)}"[:MAX_NAME],
            f"role:{tenant}/{role}"[:MAX_NAME] if role else "",
            f"tool:{tenant}/{measured.tool}"[:MAX_NAME] if measured.tool else "",
            f"tenant:{tenant}"[:MAX_NAME] if tenant else "",
            self._hashed(address) if address else 0,
            self._hashed(f"tool:{measured.tool}") if measured.tool else 0,
        ]
        numbers = [measured.calls, measured.tokens, measured.read, measured.sent, int(denied), int(measured.error)]
        # Whoever is hidden among known recipients of one call is seen: each further one is an entry without numbers.
        further = [[at, who[1], "", "", "", 0, 0, name, *[0] * len(numbers)] for name in recipients[1:MAX_RECIPIENTS]]
        return [[*who, recipients[0], *numbers], *further]

    def _hashed(self, text: str) -> int:
        if self._hash_key is None:
            self._hash_key = self._state.key() if self._state is not None else os.urandom(32)
        found = value_hash(self._hash_key, text)
        self._texts[found] = text
        self._texts.move_to_end(found)
        if len(self._texts) > MAX_TEXTS:
            self._texts.popitem(last=False)
        return found

    # -- shared state ---------------------------------------------------------------------------------------------

    def _take_over(self, state: MonitorState) -> None:
        self._scorer = Scorer(capacity=self._capacity, budget=self._false_alerts)
        for key, data in state.load():
            self._scorer.baselines.load(key, data)
        frame = state.value("frame")
        if frame is not None:
            self._scorer.restore(frame)
        self._leading = True

    def _store(self, state: MonitorState, batches: list[str]) -> bool:
        changed, self._scorer.changed = self._scorer.changed, set()
        gone, self._scorer.baselines.gone = self._scorer.baselines.gone, []
        seen = self._scorer.baselines.rows["seen"]
        rows = [
            (key, float(seen[self._scorer.baselines.find(key) or 0]), data)
            for key, data in self._scorer.baselines.dump(changed)
        ]
        return state.commit(batches, rows, [("frame", self._scorer.frame())], gone)

    # -- telling --------------------------------------------------------------------------------------------------

    def _tell(self, anomaly: Anomaly) -> None:
        if self._book is not None and self._accepted(anomaly):
            return
        texts = [self._cleaned(self._texts.get(value, f"value {value:08x}")) for value in anomaly.values[:8]]
        subject = self._cleaned(anomaly.subject.partition(":")[2])
        text = _sentence(anomaly, subject, texts)
        details: dict[str, Json] = {
            "observed": round(anomaly.observed, 1),
            "usual": round(anomaly.usual, 1),
            "window_seconds": anomaly.window_s,
            "times_a_month": float(f"{anomaly.rate:.3g}"),
            "values": list(texts),
            "hashes": [f"{value:08x}" for value in anomaly.values],
        }
        message = Message(self._cleaned(anomaly.subject), anomaly.kind, anomaly.severity, text, details)
        self._raise(message, at=anomaly.time, user=subject, anomalies=[text], key=anomaly.subject)

    def _tell_sample(self, user: str, found: list[Strange], at: float, address: str) -> None:
        worst = min(found, key=lambda strange: strange.rate)
        shown = self._cleaned(user)
        texts = [_sample_sentence(strange, self._cleaned(address)) for strange in found]
        details: dict[str, Json] = {
            strange.kind: {
                "observed": round(strange.observed, 1),
                "usual": round(strange.usual, 1),
                "times_a_month": float(f"{strange.rate:.3g}"),
            }
            for strange in found
        }
        kind = worst.kind if len(found) == 1 else "several"
        message = Message(f"user:{shown}", kind, worst.severity, f"{shown}: {'; '.join(texts)}", details)
        self._raise(message, at=at, user=shown, anomalies=texts, key="")

    def _raise(self, message: Message, *, at: float, user: str, anomalies: list[str], key: str) -> None:
        told: dict[str, Json] = {
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
            "user_id": user,
            "anomalies": [*anomalies],
            "severity": message.severity,
        }
        self._told.append(told)
        if self._book is None:
            return
        alert, fresh = self._book.note(message, at=at)
        if fresh and self._respond is not None and key.startswith("principal:"):
            try:
                self._respond(alert, key.partition(":")[2])
            except AgentGuardError as error:
                _log.error("the answer to alert %s was not given: %s", alert.id, error)
        if fresh and self._deliverer is not None:
            self._deliverer.wake()

    def _accepted(self, anomaly: Anomaly) -> bool:
        """Whether a person called this normal; then it is learned, and not told again."""
        since = anomaly.time - 30 * DAY_S
        if self._book is None or not self._book.accepted(self._cleaned(anomaly.subject), anomaly.kind, since=since):
            return False
        self._scorer.accept(anomaly)
        return True

    def _cleaned(self, text: str) -> str:
        try:
            cleaned = self._redact(text)
        except Exception as error:  # noqa: BLE001  # a text that cannot be cleaned is not shown
            _log.error("a text of an alert could not be cleaned: %s", type(error).__name__)
            return "[not shown]"
        return "".join(c if c.isprintable() else "?" for c in cleaned)[:MAX_NAME]


def _observation(event: list[object]) -> Observation | None:
    """An event of a batch; None when it is none, for others may have written to the database."""
    try:
        seen = Observation(*event)  # type: ignore[arg-type]  # checked below
    except TypeError:
        return None
    usable = (
        all(isinstance(text, str) for text in event[1:5])
        and all(isinstance(n, int | float) and math.isfinite(n) and n >= 0 for n in (event[0], *event[5:]))
        and all(isinstance(value, int) and value <= 0xFFFFFFFF for value in event[5:8])
    )
    return seen if usable and seen.principal else None


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ConfigError(f"got {name} as {type(value).__name__}; a number is accepted")
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ConfigError(f"got {name}={number}; a finite number of 0 or more is accepted")
    return number


_UNITS = {
    "calls": "calls",
    "tokens": "tokens",
    "read": "characters read",
    "sent": "characters sent",
    "denials": "refused calls",
    "errors": "errors",
    "hour": "calls at an hour at which it is not active",
}
_NEW = {"address": "address", "tool": "tool", "recipient": "recipient", "sequence": "sequence of tools"}


def _sentence(anomaly: Anomaly, subject: str, values: list[str]) -> str:
    if anomaly.kind in _NEW:
        named = "" if anomaly.kind == "sequence" else f": {', '.join(values)}"
        count = f"{anomaly.observed:.0f} new {_NEW[anomaly.kind]}(s) within an hour"
        return f"{subject}: {count}{named}; {_often(anomaly.rate)}"
    if anomaly.kind == "drift":
        return (
            f"{subject}: activity has been climbing for days, now {anomaly.observed:,.0f} a day, "
            f"usually {anomaly.usual:,.0f}; {_often(anomaly.rate)}"
        )
    return (
        f"{subject}: {anomaly.observed:,.0f} {_UNITS[anomaly.kind]} within an hour, usually {anomaly.usual:,.1f}; "
        f"{_often(anomaly.rate)}"
    )


def _sample_sentence(strange: Strange, address: str) -> str:
    if strange.kind == "address":
        return f"new address {address}"
    names = {"calls": "api_calls", "tokens": "tokens", "errors": "errors"}
    return f"{names[strange.kind]} {strange.observed:,.0f}, usually {strange.usual:,.1f}"


def _often(rate: float) -> str:
    if rate >= 1:
        return f"expected {rate:.1f} times a month"
    return f"expected once in {1 / max(rate, 1e-9):,.0f} months"
