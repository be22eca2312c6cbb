"""How many planted anomalies the detector finds, how soon, at how many false alerts; and what it costs.

``python -m benchmarks.anomaly`` replays the generated month through the scorer that a guard feeds, beside the naive
mean + 3 sigma over all hours so far; then times the caller's side and measures the memory of 100,000 principals.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from agentguard import SecurityAnomalyDetector
from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect
from agentguard.event import Principal, ToolCall
from agentguard.monitor import Measures, Recorder
from agentguard.monitor.scorer import Anomaly as Found
from agentguard.monitor.scorer import Observation, Scorer
from benchmarks.anomaly_scenarios import DAY_S, HOUR_S, INTENSITIES, Anomaly, Traffic, generate

__all__ = ["main"]

TICK_S = 300.0
# An alert after the end still counts this long: windows close a little later. A climb is judged by days.
GRACE_S = {"slow_poisoning": DAY_S}
DEFAULT_GRACE_S = HOUR_S
# Alerts of one agent closer than this are one: people are told once.
GROUP_S = 6 * HOUR_S


def observations(traffic: Traffic) -> Iterator[Observation]:
    """The events as a guard's recorder hands them on."""
    names = [
        (f"principal:{traffic.principal(a)}", f"role:{traffic.role(a)}", f"tenant:{traffic.tenant(a)}")
        for a in range(len(traffic.agents))
    ]
    for when, agent, tool, recipient, address, tokens, read, sent, error, denied in traffic.events.tolist():
        principal, role, tenant = names[agent]
        yield Observation(
            when, principal, role, f"tool:{tool}", tenant, address & 0xFFFFFFFF, tool, recipient & 0xFFFFFFFF,
            1, tokens, read, sent, float(denied), float(error),
        )  # fmt: skip


def replay(traffic: Traffic) -> list[Found]:
    """Every anomaly the scorer reports, in the order of time."""
    scorer = Scorer()
    found: list[Found] = []
    batch: list[Observation] = []
    edge = (float(traffic.events["time"][0]) // TICK_S + 1) * TICK_S
    for seen in observations(traffic):
        while seen.time >= edge:
            scorer.absorb(batch)
            batch.clear()
            found += scorer.advance(edge)
            edge += TICK_S
        batch.append(seen)
    return found


def naive(traffic: Traffic) -> list[Found]:
    """Mean + 3 sigma over every past hour of an agent, the sample learned before it is tested, told when it ends."""
    found = []
    slots = (traffic.events["time"] // HOUR_S).astype(np.int64)
    order = np.lexsort((slots, traffic.events["agent"]))
    events, slots = traffic.events[order], slots[order]
    edges = np.flatnonzero(np.diff(events["agent"].astype(np.int64) * 10_000_000 + slots)) + 1
    starts = np.concatenate([[0], edges])
    sums = {
        "calls": np.diff(np.append(starts, len(events))).astype(float),
        **{name: np.add.reduceat(events[name].astype(float), starts) for name in ("tokens", "read", "sent", "denied")},
    }
    agents = events["agent"][starts]
    for kind, values in sums.items():
        for agent in range(len(traffic.agents)):
            mine = np.flatnonzero(agents == agent)
            x = values[mine]
            count = np.arange(1, len(x) + 1)
            mean = np.cumsum(x) / count
            sigma = np.sqrt(np.maximum(np.cumsum(x * x) / count - mean * mean, 0))
            for index in np.flatnonzero((count > 10) & (x > mean + 3 * sigma)):
                when = (float(slots[starts[mine[index]]]) + 1) * HOUR_S
                found.append(Found(f"principal:{traffic.principal(agent)}", kind, when, 0, 0, "medium", 0, 0, HOUR_S))
    return sorted(found, key=lambda anomaly: anomaly.time)


def grouped(found: list[Found]) -> list[Found]:
    """The alerts people get: one for each subject and kind until it has been quiet."""
    last: dict[tuple[str, str], float] = {}
    kept = []
    for anomaly in found:
        key = (anomaly.subject, anomaly.kind)
        if anomaly.time - last.get(key, -np.inf) > max(GROUP_S, 1.5 * anomaly.window_s):
            kept.append(anomaly)
        last[key] = anomaly.time
    return kept


def judged(traffic: Traffic, found: list[Found]) -> tuple[dict[tuple[str, float], list[float | None]], list[Found]]:
    """Delay in seconds of each planted anomaly, None when missed; and the false alerts about agents."""
    labels: dict[str, list[Anomaly]] = defaultdict(list)
    for label in traffic.anomalies:
        labels[f"principal:{traffic.principal(label.agent)}"].append(label)
    delays: dict[int, float] = {}
    for anomaly in found:
        for label in labels[anomaly.subject]:
            if label.start <= anomaly.time <= _until(label):
                delays.setdefault(id(label), anomaly.time - label.start)
    false = [
        anomaly
        for anomaly in grouped(found)
        if anomaly.subject.startswith("principal:")
        # What follows from an anomaly in the same day, or while a climb is under way, is not another one.
        and not any(
            label.start - (9 * DAY_S if label.kind == "slow_poisoning" else 0) <= anomaly.time <= label.end + DAY_S
            for label in labels[anomaly.subject]
        )
    ]
    table: dict[tuple[str, float], list[float | None]] = defaultdict(list)
    for label in traffic.anomalies:
        table[label.kind, label.intensity].append(delays.get(id(label)))
    return table, false


def _until(label: Anomaly) -> float:
    return label.end + GRACE_S.get(label.kind, DEFAULT_GRACE_S)


def _print_recall(traffic: Traffic, results: dict[str, list[Found]]) -> None:
    tables = {name: judged(traffic, found) for name, found in results.items()}
    print(f"{'kind':<16}{'intensity':>10}" + "".join(f"{name + ' recall':>24}{'median delay':>16}" for name in tables))
    for kind, intensities in INTENSITIES.items():
        for intensity in intensities:
            line = f"{kind:<16}{intensity:>10g}"
            for table, _ in tables.values():
                line += _cell(table[kind, intensity])
            print(line)
    line = f"{'all':<26}"
    for table, _ in tables.values():
        line += _cell([delay for row in table.values() for delay in row])
    print(line)
    months = len(traffic.agents)
    for name, (_, false) in tables.items():
        kinds: dict[str, int] = defaultdict(int)
        for anomaly in false:
            kinds[anomaly.kind] += 1
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        print(f"{name}: {len(false) / months:.2f} false alerts an agent and month ({told})")


def _cell(delays: list[float | None]) -> str:
    seen = [delay for delay in delays if delay is not None]
    delay = f"{np.median(seen) / 60:,.0f} min" if seen else "-"
    return f"{len(seen) / max(len(delays), 1):>24.0%}{delay:>16}"


def caller_cost() -> dict[str, float]:
    """Microseconds that one event and one sample cost their caller: the least of many runs."""
    run = Conversation(principal=Principal("agent-1", roles=("reader",), tenant="t"))
    event = ToolCall("send_email", {"to": "a@b.example", "body": "x" * 2_000})
    decision = Decision(Effect.ALLOW, event, "0" * 16)
    sample = {"api_calls": 10, "tokens": 1_000, "errors": 0, "total": 20, "ip_address": "192.0.2.1"}
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(40):
        recorder = Recorder(Measures({"send_email": ("to",)}))
        for name, count in (("a decision", 250), ("a decision in a flood", 1_000)):
            started = time.perf_counter_ns()
            for _ in range(count):
                recorder(decision, event, run)
            costs[name].append((time.perf_counter_ns() - started) / count / 1_000)
        # An hour between two looks at the queue: scoring is not part of what the caller waits for.
        with SecurityAnomalyDetector(interval_s=3_600.0) as detector:
            detector.record_activity("ada", sample)
            started = time.perf_counter_ns()
            for _ in range(200):
                detector.record_activity("ada", sample)
            costs["a sample"].append((time.perf_counter_ns() - started) / 200 / 1_000)
    return {name: min(found) for name, found in costs.items()}


def memory(principals: int = 100_000) -> float:
    """Megabytes of the process that hold the baselines of so many principals, measured in a process of its own."""
    script = f"""
import resource
from agentguard.monitor.scorer import Observation, Scorer
scorer = Scorer(capacity={principals} + 10)
for hour in range(2):
    for start in range(0, {principals}, 10_000):
        scorer.absorb([Observation(hour * 3600.0, f"principal:tenant/agent/agent-{{n}}", "role:r", tenant="",
            address=n + 1, tool=n % 40 + 1, recipient=n + 7, tokens=100, read=1000, sent=10)
            for n in range(start, start + 10_000)])
    scorer.advance((hour + 1) * 3600.0)
assert len(scorer.baselines) >= {principals}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print the tables."""
    told = ", ".join(f"{cost:.2f} us {name}" for name, cost in caller_cost().items())
    print(f"at the caller: {told} (goal 5)")
    print(f"100,000 principals: {memory():.0f} MB peak of the whole process (goal 512)")
    started = time.process_time()
    traffic = generate()
    print(f"{len(traffic.events):,} events, {len(traffic.anomalies)} anomalies ({time.process_time() - started:.0f} s)")
    started = time.process_time()
    found = replay(traffic)
    spent = time.process_time() - started
    print(f"scoring: {spent:.0f} s, {spent / len(traffic.events) * 1e6:.1f} us an event, off the caller's thread")
    _print_recall(traffic, {"agentguard": found, "mean + 3 sigma": naive(traffic)})


if __name__ == "__main__":
    main()
