"""One certificate in use at two addresses: its key was copied, or its host moved. An alert, never a refusal."""

from __future__ import annotations

import threading
from collections import OrderedDict

from agentguard.channel.tls import Peer

__all__ = ["Sightings"]

# Certificates remembered at once. They live for an hour: a domain that issues more than this in one has other alarms.
MAX_CERTIFICATES = 10_000
# Addresses remembered of one certificate; from then on every new one is told.
MAX_ADDRESSES = 8


class Sightings:
    """Remembers from where each certificate was used. Thread-safe; memory is bounded, the longest unseen go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[int, list[str]] = OrderedDict()

    def elsewhere(self, peer: Peer) -> str | None:
        """Another address that this peer's certificate was used from, the first time that it shows at this one.

        None when it is known here, or nowhere else, or the peer's address is unknown.
        """
        if not peer.address:
            return None
        with self._lock:
            places = self._seen.setdefault(peer.serial, [])
            self._seen.move_to_end(peer.serial)
            if len(self._seen) > MAX_CERTIFICATES:
                self._seen.popitem(last=False)
            if peer.address in places:
                return None
            before = places[-1] if places else None
            if len(places) < MAX_ADDRESSES:
                places.append(peer.address)
            return before
