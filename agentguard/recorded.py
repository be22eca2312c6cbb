"""Decisions as the audit log holds them: what was decided, about which tool, by whom, and where each value came from.

Records of other kinds, and of other versions, are passed over and counted, never guessed at.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from agentguard.audit import AuditLog, LogRecord
from agentguard.decision import Effect, Letter
from agentguard.errors import ConfigError
from agentguard.event import Json, Principal
from agentguard.policy.label_lint import Sizes

__all__ = ["RecordedDecision", "RecordedOrigin", "RecordedPolicy", "result_sizes"]

Stood: TypeAlias = tuple[Letter, str]

_EFFECTS: dict[str, Effect] = {effect.value: effect for effect in Effect}


@dataclass(frozen=True, slots=True)
class RecordedOrigin:
    """One row of a recorded origin table; ``value`` only where payloads were recorded in full."""

    argument: str
    path: tuple[str | int, ...]
    kind: str | None
    letter: Letter
    effect: Effect
    reason: str
    source: str
    stood: tuple[Stood, ...]
    value: str | None = None
    sha256: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision. ``args`` are the call's arguments where payloads were recorded in full, else None.

    ``complete`` is False where the origin table was cut, or is missing because a stage before had refused.
    """

    index: int
    time: str
    id: str
    event: str
    tool: str
    principal: Principal
    mode: str
    effect: Effect
    reason: str
    stage: str
    rules: tuple[str, ...]
    findings: tuple[str, ...]
    origins: tuple[RecordedOrigin, ...]
    complete: bool
    args: dict[str, Json] | None
    body: Json
    size: int
    policy_digest: str
    run: str = ""
    parent: str = ""
    sender: str = ""
    receiver: str = ""

    @classmethod
    def of(cls, record: LogRecord) -> RecordedDecision | None:
        """Read a record; None when it is no decision, or one that this version cannot read."""
        data = record.data
        if data.get("type") != "decision":
            return None
        try:
            return _decision(record.index, data)
        except (KeyError, TypeError, ValueError):
            return None

    @classmethod
    def read(
        cls, log: AuditLog, *, event: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[RecordedDecision]:
        """The log's decisions in its order, those of one kind of event where ``event`` is given.

        Raises:
            ConfigError, TamperError, KeySourceError: as ``AuditLog.query``.
        """
        where = {"type": "decision", **({"event": event} if event else {})}
        for record in log.query(start=since, end=until, where=where):
            found = cls.of(record)
            if found is not None:
                yield found

    def first_of_run(self, log: AuditLog) -> bool:
        """Whether the log tells that no call of this tool came before it in its run, sub-agents included."""
        if not self.run or self.parent or any(True for _ in log.query(where={"run.parent_id": self.run}, limit=1)):
            return False
        where = {"run.id": self.run, "event": "tool_call", "gen_ai.tool.name": self.tool}
        return all(record.index >= self.index for record in log.query(where=where, limit=1))

    @classmethod
    def find(cls, log: AuditLog, id: str) -> RecordedDecision:
        """The decision with this id.

        Raises:
            ConfigError: the log holds none.
        """
        for record in log.query(where={"type": "decision"}, predicate=lambda data: data.get("decision.id") == id):
            found = cls.of(record)
            if found is not None:
                return found
        raise ConfigError(f"no decision with the id {id[:60]!r} is in the log; `agentguard audit query` shows the ids")


@dataclass(frozen=True, slots=True)
class RecordedPolicy:
    """What the log says of a policy that was in force: the labels of its tools, and its words and rules for texts."""

    digest: str
    labels: Mapping[str, Mapping[str, Json]]
    flow: Json
    texts: str

    @classmethod
    def read(cls, log: AuditLog) -> dict[str, RecordedPolicy]:
        """Every policy that took effect, by its digest; those whose labels were not recorded are left out."""
        found: dict[str, RecordedPolicy] = {}
        for record in log.query(where={"type": "configuration"}):
            labels = record.data.get("labels")
            digest = record.data.get("policy.digest")
            if isinstance(labels, dict) and isinstance(digest, str):
                rows = {name: row for name, row in labels.items() if isinstance(row, dict)}
                found[digest] = cls(digest, rows, record.data.get("flow"), str(record.data.get("texts")))
        return found


def result_sizes(decisions: Iterable[RecordedDecision]) -> dict[str, Sizes]:
    """How long each tool's recorded results were."""
    found: dict[str, list[int]] = defaultdict(list)
    for decision in decisions:
        if decision.event == "tool_result":
            found[decision.tool].append(decision.size)
    return {tool: Sizes(len(sizes), int(statistics.median(sizes)), max(sizes)) for tool, sizes in sorted(found.items())}


def _decision(index: int, data: dict[str, Json]) -> RecordedDecision:
    origins = [_origin(row) for row in _list(data.get("origins"))]
    body = data.get("payload.body")
    args = body.get("args") if isinstance(body, dict) else None
    return RecordedDecision(
        index=index,
        time=str(data["time"]),
        id=str(data["decision.id"]),
        event=str(data["event"]),
        tool=str(data.get("gen_ai.tool.name") or ""),
        principal=_principal(data),
        mode=str(data["mode"]),
        effect=_EFFECTS[str(data["decision"])],
        reason=str(data.get("reason") or ""),
        stage=str(data.get("stage") or ""),
        rules=tuple(map(str, _list(data.get("rules")))),
        findings=tuple(str(row["type"]) for row in _list(data.get("findings")) if isinstance(row, dict)),
        origins=tuple(origins),
        complete="origins" in data and not data.get("origins.omitted"),
        args=args if isinstance(args, dict) else None,
        body=body,
        size=int(str(data.get("payload.length") or 0)),
        policy_digest=str(data.get("policy.digest") or ""),
        run=str(data.get("run.id") or ""),
        parent=str(data.get("run.parent_id") or ""),
        sender=str(data.get("sender") or ""),
        receiver=str(data.get("receiver") or ""),
    )


def _principal(data: dict[str, Json]) -> Principal:
    """Who acted, and on whose behalf; records of before roles were recorded are not read as if there were none."""
    found: Principal | None = None
    for link in reversed(_list(data["delegation"])):
        if not isinstance(link, dict) or link["kind"] not in ("agent", "user", "service"):
            raise ValueError("no principal")
        found = Principal(
            str(link["id"]),
            kind=link["kind"],  # type: ignore[arg-type]  # one of the three, as just tested
            roles=tuple(map(str, _list(link["roles"]))),
            on_behalf_of=found,
        )
    if found is None:
        raise ValueError("no principal")
    return found


def _origin(row: Json) -> RecordedOrigin:
    if not isinstance(row, dict):
        raise TypeError("no origin row")
    value = row.get("value")
    return RecordedOrigin(
        argument=str(row["argument"]),
        path=tuple(step if isinstance(step, int) else str(step) for step in _list(row["path"])),
        kind=str(row["kind"]) if row.get("kind") else None,
        letter=Letter[str(row["origin"])],
        effect=_EFFECTS[str(row["effect"])],
        reason=str(row.get("reason") or ""),
        source=str(row.get("source") or ""),
        stood=tuple(_stood(pair) for pair in _list(row.get("stood"))),
        value=value if isinstance(value, str) else None,
        sha256=str(row.get("value.sha256") or ""),
        length=int(str(row.get("value.length") or 0)),
    )


def _stood(pair: Json) -> Stood:
    if not isinstance(pair, list) or len(pair) != 2:
        raise TypeError("no pair of letter and source")
    return Letter[str(pair[0])], str(pair[1] or "")


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
