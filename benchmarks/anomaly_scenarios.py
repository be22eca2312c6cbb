"""A month of generated traffic of 1,000 agents, with labelled anomalies: what the anomaly detector is measured on.

Everything follows from one seed. Normal traffic is made to be hard: rates differ by two orders of magnitude and are
bursty (gamma-mixed Poisson), sizes are heavy-tailed (log-normal), a third of the agents meets new recipients every
day, some roam between addresses, some grow, some take a new tool up, some rest for a week; none of that is labelled.
Anomalies stand on agents of their own, after ten days, in kinds and three intensities each.

An anomaly that is none for an agent is not planted on it: a new recipient only where recipients are a closed set,
night work only where there is a night, a new address only on an agent that does not roam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAY_S", "EVENT", "HOUR_S", "INTENSITIES", "Agent", "Anomaly", "Traffic", "generate"]

SEED = 20_260
HOUR_S = 3_600.0
DAY_S = 86_400.0
DAYS = 30
AGENTS = 1_000
TENANTS = 20
ROLES = 8
TOOLS = 40
# Anomalies of one kind and intensity.
INSTANCES = 12
LEARNING_DAYS = 10
# 2026-01-05 was a Monday.
START = 1_767_571_200.0

# What one event is: integers name agents, tools, recipients (0: none) and addresses; sizes are in bytes.
EVENT = np.dtype(
    [
        ("time", "f8"),
        ("agent", "i4"),
        ("tool", "i4"),
        ("recipient", "i8"),
        ("address", "i8"),
        ("tokens", "i8"),
        ("read", "i8"),
        ("sent", "i8"),
        ("error", "?"),
        ("denied", "?"),
    ]
)
Events: TypeAlias = NDArray[np.void]

# Kind to its three intensities, weak to strong, and what the number is.
INTENSITIES: dict[str, tuple[float, float, float]] = {
    "burst": (5, 10, 30),  # times the busy hour's rate, for 20 minutes, at least 30 calls
    "tokens": (5, 15, 50),  # times the usual tokens of an active hour, within one hour
    "read_volume": (5, 20, 100),  # times the usual bytes read in an active hour
    "exfiltration": (5, 20, 100),  # times the usual bytes sent in an active hour
    "slow_poisoning": (1.08, 1.15, 1.3),  # growth a day for 12 days; anomalous from twice the usual on
    "new_recipient": (1, 3, 10),  # messages to a recipient never written to
    "new_address": (1, 5, 20),  # calls from an address never seen
    "new_tool": (1, 3, 10),  # calls of a tool never used
    "night_work": (3, 10, 30),  # calls within an hour in the middle of a night without any
    "denial_storm": (5, 15, 50),  # refused calls in ten minutes
    "error_storm": (0.3, 0.6, 0.9),  # share of errors among an hour's calls, at least 20
    "sequence": (10, 30, 60),  # calls of known tools in an order never seen, within the usual rate
}


@dataclass(slots=True)
class Agent:
    """How one agent behaves when nothing is wrong."""

    index: int
    shape: str
    rate: float
    hours: NDArray[np.float64]
    weekend: float
    tools: NDArray[np.int64]
    steps: NDArray[np.float64]
    recipients: NDArray[np.int64]
    open_world: bool
    addresses: NDArray[np.int64]
    roams: bool
    token_median: float
    read_median: float
    sent_median: float
    spread: float
    error_share: float
    denial_share: float
    growth: float
    rest: tuple[int, int]
    late_tool: tuple[int, int] | None
    seen_recipients: int = 0


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A labelled stretch of one agent's time, ``[start, end)`` in seconds since 1970."""

    kind: str
    intensity: float
    agent: int
    start: float
    end: float


@dataclass(slots=True)
class Traffic:
    """Events in the order of time, and the labels."""

    events: Events
    anomalies: list[Anomaly]
    agents: list[Agent] = field(repr=False)

    def principal(self, agent: int) -> str:
        return f"agent-{agent:04d}"

    def role(self, agent: int) -> str:
        return f"role-{agent % ROLES}"

    def tenant(self, agent: int) -> str:
        return f"tenant-{agent % TENANTS}"


def generate(*, seed: int = SEED, agents: int = AGENTS, days: int = DAYS, instances: int = INSTANCES) -> Traffic:
    """The month. ``agents`` must be enough for ``instances`` of every kind and intensity."""
    random = np.random.default_rng(seed)
    made = [_agent(index, random, days) for index in range(agents)]
    parts = [_normal(agent, days, random) for agent in made]
    anomalies: list[Anomaly] = []
    free = list(random.permutation(agents))
    for kind, intensities in INTENSITIES.items():
        for intensity in intensities:
            for _ in range(instances):
                agent = _host(kind, free, made)
                events, label = _PLANT[kind](agent, intensity, days, random, parts[agent.index])
                parts[agent.index] = events
                anomalies.append(Anomaly(kind, intensity, agent.index, *label))
    events = np.concatenate(parts)
    return Traffic(events[np.argsort(events["time"], kind="stable")], anomalies, made)


def _host(kind: str, free: list[int], agents: list[Agent]) -> Agent:
    place = next(i for i, index in enumerate(free) if _fits(kind, agents[index]))
    return agents[free.pop(place)]


def _fits(kind: str, agent: Agent) -> bool:
    """Whether the anomaly would be one for this agent."""
    match kind:
        case "new_recipient":
            return not agent.open_world
        case "new_address":
            return not agent.roams
        case "night_work":
            return agent.shape in ("office", "batch")
        case "slow_poisoning":
            return agent.growth == 1.0 and agent.rest[0] < 0 and agent.shape != "sporadic"
        case "sequence":
            return len(agent.tools) >= 4
    return True


def _agent(index: int, random: np.random.Generator, days: int) -> Agent:
    shape = str(random.choice(["office", "service", "batch", "sporadic"], p=[0.45, 0.25, 0.15, 0.15]))
    hours, weekend = _hours(shape, random)
    tools = random.choice(TOOLS, size=int(random.integers(2, 9)), replace=False) + 1
    open_world = bool(random.random() < 0.3)
    roams = bool(random.random() < 0.1)
    rests = bool(random.random() < 0.1)
    first_rest = int(random.integers(2, days - 8)) if rests else -1
    takes_up = bool(random.random() < 0.05)
    return Agent(
        index=index,
        shape=shape,
        rate=float(np.clip(random.lognormal(np.log(5), 1.0), 0.5, 80)),
        hours=hours,
        weekend=weekend,
        tools=tools,
        steps=_steps(len(tools), random),
        recipients=index * 1_000 + np.arange(1, int(random.integers(4, 20))),
        open_world=open_world,
        addresses=index * 100 + np.arange(1, int(random.integers(2, 5))),
        roams=roams,
        token_median=float(random.lognormal(np.log(600), 0.6)),
        read_median=float(random.lognormal(np.log(4_000), 1.0)),
        sent_median=float(random.lognormal(np.log(800), 1.0)),
        spread=float(random.uniform(0.6, 1.3)),
        error_share=float(random.beta(1.5, 60)),
        denial_share=float(random.beta(1, 200)),
        growth=float(random.uniform(1.005, 1.02)) if random.random() < 0.03 else 1.0,
        rest=(first_rest, first_rest + 7) if rests else (-1, -1),
        late_tool=(int(random.integers(5, days - 3)), int(random.integers(TOOLS)) + 1) if takes_up else None,
    )


def _hours(shape: str, random: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    hours = np.zeros(24)
    shift = int(random.integers(0, 24))
    if shape == "office":
        hours[8:19] = [0.4, 0.9, 1, 1, 0.7, 0.8, 1, 1, 0.9, 0.5, 0.2]
        return np.roll(hours, shift), 0.0
    if shape == "service":
        day = 1 + 0.5 * np.sin(np.arange(24) / 24 * 2 * np.pi)
        return np.roll(day, shift), 0.8
    if shape == "batch":
        hours[: int(random.integers(2, 6))] = 1.0
        return np.roll(hours, shift), 1.0
    return np.full(24, 0.25), 0.5


def _steps(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Which tool follows which: each is followed by two or three others, as in the workflows of real agents."""
    steps = np.zeros((count, count))
    for row in range(count):
        follows = random.choice(count, size=min(count, int(random.integers(2, 4))), replace=False)
        steps[row, follows] = random.dirichlet(np.ones(len(follows)) * 2)
    return steps


def _normal(agent: Agent, days: int, random: np.random.Generator) -> Events:
    slots = np.arange(days * 24)
    day, hour = slots // 24, slots % 24
    weekday = day % 7
    level = agent.rate * agent.hours[hour] * np.where(weekday >= 5, agent.weekend, 1.0) * agent.growth**day
    level = np.where((day >= agent.rest[0]) & (day < agent.rest[1]), 0.0, level)
    if agent.shape == "sporadic":
        # Sessions: one hour in four is busy.
        level = np.where(random.random(len(slots)) < 0.25, level * 4, 0.0)
    counts = random.poisson(level * random.gamma(3.0, 1 / 3.0, len(slots)))
    times = START + np.repeat(slots, counts) * HOUR_S + random.random(counts.sum()) * HOUR_S
    events = _events(agent, np.sort(times), random)
    if agent.late_tool is not None:
        late = (events["time"] > START + agent.late_tool[0] * DAY_S) & (random.random(len(events)) < 0.1)
        events["tool"][late] = agent.late_tool[1]
    return events


def _events(agent: Agent, times: NDArray[np.float64], random: np.random.Generator) -> Events:
    count = len(times)
    events = np.zeros(count, EVENT)
    events["time"], events["agent"] = times, agent.index
    events["tool"] = agent.tools[_walk(agent.steps, count, random)]
    events["address"] = random.choice(agent.addresses, count)
    if agent.roams:
        moved = random.random(count) < 0.02
        events["address"][moved] = agent.index * 100_000 + random.integers(1_000, 99_999, moved.sum())
    sends = random.random(count) < 0.3
    events["recipient"] = np.where(sends, random.choice(agent.recipients, count), 0)
    if agent.open_world:
        fresh = sends & (random.random(count) < 0.1)
        events["recipient"][fresh] = 10_000_000 + agent.index * 100_000 + agent.seen_recipients + np.arange(fresh.sum())
        agent.seen_recipients += int(fresh.sum())
    events["tokens"] = _sizes(agent.token_median, agent.spread, count, random)
    events["read"] = _sizes(agent.read_median, agent.spread, count, random)
    events["sent"] = np.where(sends, _sizes(agent.sent_median, agent.spread, count, random), 0)
    events["error"] = random.random(count) < agent.error_share
    events["denied"] = random.random(count) < agent.denial_share
    return events


def _walk(steps: NDArray[np.float64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    edges = np.cumsum(steps, axis=1)
    draws = random.random(count)
    path = np.zeros(count, np.int64)
    state = 0
    for i in range(count):
        state = min(int(np.searchsorted(edges[state], draws[i] * edges[state, -1], side="right")), len(steps) - 1)
        path[i] = state
    return path


def _sizes(median: float, spread: float, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    return random.lognormal(np.log(median), spread, count).astype(np.int64) + 1


# -- anomalies: each takes the agent's normal events and gives them back with the anomaly in them ---------------------

Planted: TypeAlias = tuple[Events, tuple[float, float]]
Plant: TypeAlias = Callable[[Agent, float, int, np.random.Generator, Events], Planted]


def _start(agent: Agent, days: int, random: np.random.Generator) -> float:
    """The beginning of an hour in which the agent usually works, on a weekday outside its rest."""
    while True:
        day = int(random.integers(LEARNING_DAYS, days - 1))
        if day % 7 < 5 and not agent.rest[0] <= day < agent.rest[1]:
            break
    return START + day * DAY_S + float(random.choice(np.flatnonzero(agent.hours))) * HOUR_S


def _spread(start: float, seconds: float, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    return start + np.sort(random.random(count)) * seconds


def _active_hour(events: Events, field_name: str) -> float:
    """The usual sum of a field in an hour with events."""
    slots = ((events["time"] - START) // HOUR_S).astype(np.int64)
    sums = np.bincount(slots, weights=events[field_name])
    return float(np.median(sums[np.bincount(slots, minlength=len(sums)) > 0]))


def _burst(agent: Agent, factor: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
    start = _start(agent, days, random)
    busy = agent.rate * float(agent.hours.max()) * (4 if agent.shape == "sporadic" else 1)
    count = max(30, int(busy * factor / 3))
    planted = _events(agent, _spread(start, 1200, count, random), random)
    return np.concatenate([normal, planted]), (start, start + 1200)


def _surge(field_name: str) -> Plant:
    def plant(agent: Agent, factor: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
        start = _start(agent, days, random)
        planted = _events(agent, _spread(start, HOUR_S, 4, random), random)
        if field_name == "sent":
            planted["recipient"] = random.choice(agent.recipients, 4)
        planted[field_name] = max(1.0, _active_hour(normal, field_name)) * factor / 4
        return np.concatenate([normal, planted]), (start, start + HOUR_S)

    return plant


def _slow(agent: Agent, growth: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
    first = LEARNING_DAYS
    day = ((normal["time"] - START) // DAY_S).astype(np.int64)
    level = growth ** np.clip(day - first, 0, 12)
    extra = random.poisson(level - 1)
    times = np.repeat(normal["time"], extra) + random.random(extra.sum()) * 60
    planted = _events(agent, np.sort(times), random)
    twice = first + int(np.ceil(np.log(2) / np.log(growth)))
    return np.concatenate([normal, planted]), (START + twice * DAY_S, START + days * DAY_S)


def _novel(field_name: str) -> Plant:
    def plant(agent: Agent, count: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
        start = _start(agent, days, random)
        planted = _events(agent, _spread(start, 1800, int(count), random), random)
        if field_name == "tool":
            used = set(np.unique(normal["tool"]))
            planted["tool"] = next(t for t in random.permutation(TOOLS) + 1 if int(t) not in used)
        else:
            planted[field_name] = 900_000_000 + agent.index
        if field_name == "recipient":
            planted["sent"] = _sizes(agent.sent_median, agent.spread, int(count), random)
        return np.concatenate([normal, planted]), (start, start + 1800)

    return plant


def _night(agent: Agent, count: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
    start = _start(agent, days, random)
    work = np.flatnonzero(agent.hours)
    distance = [min((h - w) % 24 if (h - w) % 24 <= 12 else 24 - (h - w) % 24 for w in work) for h in range(24)]
    start += (int(np.argmax(distance)) - (start - START) // HOUR_S % 24) * HOUR_S
    planted = _events(agent, _spread(start, HOUR_S, int(count), random), random)
    return np.concatenate([normal, planted]), (start, start + HOUR_S)


def _denials(agent: Agent, count: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
    start = _start(agent, days, random)
    planted = _events(agent, _spread(start, 600, int(count), random), random)
    planted["denied"] = True
    return np.concatenate([normal, planted]), (start, start + 600)


def _errors(agent: Agent, share: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
    start = _start(agent, days, random)
    inside = (normal["time"] >= start) & (normal["time"] < start + HOUR_S)
    missing = max(0, 20 - int(inside.sum()))
    planted = _events(agent, _spread(start, HOUR_S, missing, random), random)
    events = np.concatenate([normal, planted])
    inside = (events["time"] >= start) & (events["time"] < start + HOUR_S)
    events["error"] |= inside & (random.random(len(events)) < share)
    return events, (start, start + HOUR_S)


def _order(agent: Agent, count: float, days: int, random: np.random.Generator, normal: Events) -> Planted:
    start = _start(agent, days, random)
    planted = _events(agent, _spread(start, HOUR_S, int(count), random), random)
    never = agent.steps == 0
    state, path = 0, []
    for _ in range(int(count)):
        choices = np.flatnonzero(never[state])
        state = int(random.choice(choices)) if len(choices) else int(random.integers(len(agent.tools)))
        path.append(state)
    planted["tool"] = agent.tools[np.array(path)]
    # The usual calls of that hour make room, so that the number of calls tells little.
    inside = (normal["time"] >= start) & (normal["time"] < start + HOUR_S)
    return np.concatenate([normal[~inside], planted]), (start, start + HOUR_S)


_PLANT: dict[str, Plant] = {
    "burst": _burst,
    "tokens": _surge("tokens"),
    "read_volume": _surge("read"),
    "exfiltration": _surge("sent"),
    "slow_poisoning": _slow,
    "new_recipient": _novel("recipient"),
    "new_address": _novel("address"),
    "new_tool": _novel("tool"),
    "night_work": _night,
    "denial_storm": _denials,
    "error_storm": _errors,
    "sequence": _order,
}
