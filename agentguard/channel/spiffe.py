"""SPIFFE IDs: the name in an agent's certificate, and how it maps to an agent of the policy.

Syntax: SPIFFE-ID specification, sections 2.1 to 2.3. Two IDs are the same when their bytes are; nothing is decoded,
folded or matched by pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agentguard.errors import IdentityError

__all__ = ["MAX_ID_BYTES", "SpiffeId"]

# SPIFFE-ID 2.3: what every implementation must bear, and no more than that is read here.
MAX_ID_BYTES = 2048
MAX_DOMAIN_BYTES = 255

_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_SCHEME = "spiffe://"


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """``spiffe://<trust domain>/<path>``; agents are ``/agent/<name>`` or ``/agent/<name>/<instance>``.

    Args:
        trust_domain: lower-case letters, digits, ``.``, ``_``, ``-``; at most 255 bytes.
        path: begins with ``/``; segments of letters, digits, ``.``, ``_``, ``-``, none of them ``.`` or ``..``.

    Raises:
        IdentityError: not of that form, or longer than 2,048 bytes.
    """

    trust_domain: str
    path: str

    def __post_init__(self) -> None:
        if not _DOMAIN.fullmatch(self.trust_domain):
            raise IdentityError(
                f"{_shown(self.trust_domain)} is no trust domain; use lower-case letters, digits, '.', '_', '-', "
                f"at most {MAX_DOMAIN_BYTES}"
            )
        start, *segments = self.path.split("/")
        if start or not segments or not all(map(_segment_allowed, segments)):
            raise IdentityError(
                f"{_shown(self.path)} is no path of a SPIFFE ID; use /agent/NAME, with letters, digits, '.', '_', '-'"
            )
        if len(str(self)) > MAX_ID_BYTES:
            raise IdentityError(f"a SPIFFE ID has at most {MAX_ID_BYTES} bytes, got {len(str(self))}")

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """Read an ID as it stands in a certificate.

        Raises:
            IdentityError: no SPIFFE ID, one without a path (a trust domain's own), or too long.
        """
        # The length comes first: what follows costs time by length.
        if len(text) > MAX_ID_BYTES or not text.startswith(_SCHEME):
            raise IdentityError(f"{_shown(text)} is no SPIFFE ID; write spiffe://TRUST-DOMAIN/agent/NAME")
        domain, slash, path = text[len(_SCHEME) :].partition("/")
        return cls(domain, slash + path)

    @classmethod
    def of_agent(cls, trust_domain: str, name: str, instance: str | None = None) -> SpiffeId:
        """The ID of an agent, or of one of its instances.

        Raises:
            IdentityError: a part holds characters that an ID cannot.
        """
        parts = [name] if instance is None else [name, instance]
        if not all(map(_segment_allowed, parts)):
            raise IdentityError(f"{_shown('/'.join(parts))} is no agent name; use letters, digits, '.', '_', '-'")
        return cls(trust_domain, "/".join(["/agent", *parts]))

    @property
    def agent(self) -> str:
        """The agent's id in the policy: NAME of ``/agent/NAME[/INSTANCE]``; of any other path, the whole path.

        A whole path begins with ``/``, which no NAME holds: no foreign path can be taken for an agent.
        """
        parts = self.path.split("/")
        return parts[2] if parts[1] == "agent" and len(parts) in (3, 4) else self.path

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"


def _segment_allowed(segment: str) -> bool:
    return segment not in (".", "..") and _SEGMENT.fullmatch(segment) is not None


def _shown(text: str) -> str:
    """A foreign text in a message: escaped and short."""
    return ascii(text if len(text) <= 100 else f"{text[:100]}...")
