"""How much a peer may cost, each limit with the attack or the cost it stops.

Settings that are out of range or contradict each other are refused when they are made.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from agentguard.channel.frame import MAX_BODY, MAX_CONTROL_BODY
from agentguard.errors import ConfigError

__all__ = ["Limits"]

# How often deadlines are looked at. One timer serves all connections of an endpoint.
TICK_S = 0.05
# How far the clocks of two hosts may be apart: beyond it a message is refused, in either direction.
CLOCK_SKEW_S = 60.0
# Bytes a transport holds before writers wait.
HIGH_WATER = 256 * 1024
# A frame's header, and an envelope in front of the payload, at their longest.
OVERHEAD = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one endpoint; sizes in bytes, times in seconds.

    Raises:
        ConfigError: a bound is not positive, or two of them contradict each other.
    """

    # A length prefix is believed up to here only; longer payloads go in several frames.
    max_body: int = 1024 * 1024
    max_message: int = 2 * 1024 * 1024
    # What a peer may have under way without an acknowledgement, per connection.
    window_messages: int = 64
    window_bytes: int = 4 * 1024 * 1024
    # What one streamed reply may have under way before its reader has taken it.
    stream_window: int = 256 * 1024
    # Messages of all peers together that wait to be handled.
    inbound_budget: int = 256 * 1024 * 1024
    # Handshakes cost a core some milliseconds each: bounded before TLS starts.
    handshakes: int = 64
    handshakes_per_source: int = 8
    accepts_per_s: float = 50.0
    accepts_per_source_per_s: float = 10.0
    # Some 280 KiB each.
    connections: int = 1000
    connections_per_identity: int = 8
    # Starts of one identity whose messages could still be sent again, with the memory of what came from each.
    starts_per_identity: int = 64
    # Whoever is silent, slow or never reads is cut off after these.
    connect_s: float = 5.0
    handshake_s: float = 5.0
    hello_s: float = 5.0
    body_s: float = 5.0
    body_rate: float = 64 * 1024
    drain_s: float = 10.0
    close_s: float = 2.0
    ping_s: float = 20.0
    dead_s: float = 60.0
    # A certificate's end is looked at during the handshake: no connection outlives it, nor this.
    max_age_s: float = 3600.0
    controls_per_s: float = 100.0
    # Per identity.
    messages_per_s: float = 200.0
    bytes_per_s: float = 8 * 1024 * 1024
    # How long a message may ask to live.
    max_ttl_s: float = 3600.0
    # Messages a sender keeps until they are acknowledged, per receiver.
    outbox: int = 1024
    # How long the answer to "is this permitted?" may take.
    authorize_s: float = 0.1
    # How often a message whose handler failed is sent again.
    handler_retries: int = 2

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ConfigError(f"the limit {field.name} is {value!r}; use a number that is not negative")
            if value == 0 and field.name != "handler_retries":
                raise ConfigError(f"the limit {field.name} is 0, so nothing would pass; use a positive number")
        if not MAX_CONTROL_BODY + OVERHEAD <= self.max_body <= MAX_BODY:
            raise ConfigError(f"max_body is {self.max_body}; use {MAX_CONTROL_BODY + OVERHEAD} to {MAX_BODY} bytes")
        if self.max_message > self.window_bytes:
            raise ConfigError(
                f"max_message ({self.max_message}) is above window_bytes ({self.window_bytes}), so the longest "
                "message could never be sent; raise the window"
            )
        if self.dead_s <= self.ping_s:
            raise ConfigError(f"dead_s ({self.dead_s:g}) must be more than ping_s ({self.ping_s:g})")

    def body_time(self, size: int) -> float:
        """Seconds in which a frame of ``size`` bytes must arrive."""
        return self.body_s + size / self.body_rate
