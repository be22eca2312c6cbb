"""Mutual-TLS messages between agents: who speaks (SPIFFE identities, the embedded CA) and how it travels.

The channel holds no policy: whether a message is permitted is asked of callables that are handed in.
"""

from agentguard.channel.authority import Authority
from agentguard.channel.blocklist import BlockList
from agentguard.channel.enrolment import EnrolmentServer, JoinToken, new_token
from agentguard.channel.files import CertificateFiles
from agentguard.channel.identity import Identity, IdentityRecord, IdentitySource
from agentguard.channel.membership import Membership
from agentguard.channel.provider import open_identity
from agentguard.channel.renewal import RotatingIdentity
from agentguard.channel.sightings import Sightings
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import ALPN, Peer, check_peer, client_context, refused_handshake, server_context

__all__ = [
    "ALPN",
    "Authority",
    "BlockList",
    "CertificateFiles",
    "EnrolmentServer",
    "Identity",
    "IdentityRecord",
    "IdentitySource",
    "JoinToken",
    "Membership",
    "Peer",
    "RotatingIdentity",
    "Sightings",
    "SpiffeId",
    "check_peer",
    "client_context",
    "new_token",
    "open_identity",
    "refused_handshake",
    "server_context",
]
