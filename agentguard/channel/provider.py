"""Where an agent's identity comes from in this home: a membership it joined for, or the home's own CA."""

from __future__ import annotations

import os
from collections.abc import Callable

from agentguard.channel.authority import Authority
from agentguard.channel.identity import IdentityRecord, IdentitySource
from agentguard.channel.membership import Membership, membership_path
from agentguard.errors import IdentityError
from agentguard.store import Home

__all__ = ["open_identity"]


def open_identity(
    home: Home, name: str, *, record: Callable[[IdentityRecord], None] | None = None, poll_s: float | None = None
) -> IdentitySource:
    """The identity of agent ``NAME`` or ``NAME/INSTANCE``, kept fresh until it is closed.

    The membership that `agentguard ca join` left is used when there is one, else the home's CA issues the identity:
    whoever can open a home with a CA may be any of its agents, so agents that must not pass for each other join from
    homes of their own.

    Args:
        poll_s: seconds until a block made elsewhere is known; 2 beside the CA, 10 over the network when absent.

    Raises:
        IdentityError: neither is there, or the certificate has expired.
        ChannelError: the CA does not answer.
        StoreError: the home cannot be used.
    """
    if os.path.lexists(membership_path(home, name)):
        return Membership.open(home, name).source(record=record, poll_s=10.0 if poll_s is None else poll_s)
    try:
        authority = Authority(home, record=record)
    except IdentityError as error:
        raise IdentityError(
            f"{home.path} gives {name} no identity; run `agentguard ca join TOKEN`, or `agentguard ca init`"
        ) from error
    try:
        return authority.source(
            authority.agent_id(name), poll_s=2.0 if poll_s is None else poll_s, on_close=authority.close
        )
    except BaseException:
        authority.close()
        raise
