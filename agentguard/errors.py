"""Every exception AgentGuard raises, in one tree.

::

    AgentGuardError                   .code: short, stable, listed in docs/errors.md
      ConfigError (ValueError)        a setting cannot be used
        UnsupportedValueError         a value that no check can read was handed to the guard
      PolicyError                     a policy does not load; .path .line .column
        CasesError                    a file of cases for `agentguard policy test` does not load
      Denied (PermissionError)        the decision was deny; .decision
        RateLimited                   .retry_after in seconds
      StageError                      a stage failed; the guard turns it into a deny
      ToolFailedError                 a tool raised, and its message had to be rewritten
      StoreError                      a database or its folder cannot be used
        StoreUnavailable              a database server cannot be reached or does not let us in
      KeySourceError                  a key is missing, unreadable by us or readable by others
      DecryptError                    a ciphertext does not open under this key
      AuditError                      the log cannot be written or trusted
        WriteError                    a record was not stored: no record, no action
        TamperError                   .index of the first record that does not verify
      ScanError                       a file could not be examined, or not be redacted safely
      AdapterError                    a framework cannot be guarded as asked
      ChannelError                    the channel between agents cannot be used as asked
        IdentityError                 no usable certificate, key, bundle or name
          EnrolmentRefused            .reason for which a CA gave no certificate
        PeerRefused                   .reason for which the other side was refused, .presented its name
        FrameError                    bytes on the wire that break the protocol
        DeliveryFailed                a message was not delivered; .reason
        Overloaded                    no room for one message more in time

``SecurityError`` is the public alias of the root.
A message says what was got, what is accepted and what to do; never key material, never the text a check matched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from agentguard.decision import Decision

__all__ = [
    "AdapterError",
    "AgentGuardError",
    "AuditError",
    "CasesError",
    "ChannelError",
    "ConfigError",
    "DecryptError",
    "DeliveryFailed",
    "Denied",
    "EnrolmentRefused",
    "FrameError",
    "IdentityError",
    "KeySourceError",
    "Overloaded",
    "PeerRefused",
    "PolicyError",
    "RateLimited",
    "ScanError",
    "SecurityError",
    "StageError",
    "StoreError",
    "StoreUnavailable",
    "TamperError",
    "ToolFailedError",
    "UnsupportedValueError",
    "WriteError",
]


class AgentGuardError(Exception):
    """Root of the tree. ``code`` is short and stable: programs compare it, docs/errors.md explains it."""

    code: ClassVar[str] = "agentguard-error"


SecurityError = AgentGuardError


class ConfigError(AgentGuardError, ValueError):
    """A setting or an argument cannot be used as given."""

    code = "config-invalid"


class UnsupportedValueError(ConfigError):
    """A value has no JSON form, so no check could read what is inside it."""

    code = "value-unsupported"


class PolicyError(AgentGuardError):
    """A policy does not parse or compile. Lines and columns count from 1; None where no position exists.

    ``str()`` names place and fault, ``message`` the fault alone.
    """

    code = "policy-invalid"

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        place = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column


class CasesError(PolicyError):
    """A file of test cases for a policy does not parse; positions as in PolicyError."""

    code = "cases-invalid"


class Denied(AgentGuardError, PermissionError):
    """The guard refused. ``decision`` says which rule, and ``str()`` is safe to show to a model."""

    code = "denied"

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.message)
        self.decision = decision


class RateLimited(Denied):
    """The refusal was a rate limit; ``retry_after`` is the wait in seconds until one call is admitted."""

    code = "rate-limited"

    def __init__(self, decision: Decision, *, retry_after: float) -> None:
        super().__init__(decision)
        self.retry_after = retry_after


class StageError(AgentGuardError):
    """A stage raised or overran its time. The guard denies; the caller finds this as ``__cause__``."""

    code = "stage-failed"


class ToolFailedError(AgentGuardError):
    """A guarded tool raised and its message held something to redact; this message is the redacted one."""

    code = "tool-failed"


class StoreError(AgentGuardError):
    """A database, or the folder that holds it, cannot be opened safely."""

    code = "store-unusable"


class StoreUnavailable(StoreError):
    """A database server cannot be reached, refuses this role, or does not answer in time. What it holds is unknown."""

    code = "store-unavailable"


class KeySourceError(AgentGuardError):
    """A key is missing, malformed, or lies in a file that other users can read."""

    code = "key-unavailable"


class DecryptError(AgentGuardError):
    """A ciphertext does not open: wrong key, wrong associated data, or changed bytes."""

    code = "decrypt-failed"


class AuditError(AgentGuardError):
    """The audit log cannot be written, read or trusted."""

    code = "audit-failed"


class WriteError(AuditError):
    """A record was not made durable. Whatever it should have recorded must not happen."""

    code = "audit-write-failed"


class TamperError(AuditError):
    """The log contradicts itself; ``index`` is the first record that does not verify, None when unknown."""

    code = "audit-tampered"

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class ScanError(AgentGuardError):
    """A file could not be examined, or could not be redacted without risk to it. It is as it was."""

    code = "scan-failed"


class AdapterError(AgentGuardError):
    """A framework, or one object of it, cannot be guarded as asked: wrong version, or a way round remains."""

    code = "adapter-refused"


class ChannelError(AgentGuardError):
    """The channel between agents cannot be used as asked."""

    code = "channel-failed"


class IdentityError(ChannelError):
    """There is no usable identity: a name, certificate, key or bundle is missing, malformed, expired or mismatched."""

    code = "identity-unusable"


class EnrolmentRefused(IdentityError):
    """A CA gave no certificate, or is not the one the join token names; ``reason`` is a word of docs/channel.md."""

    code = "enrolment-refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{message} ({reason})")
        self.reason = reason
        self.message = message


class PeerRefused(ChannelError):
    """The other side of a connection was refused before it could say anything.

    ``reason`` is a short stable word of docs/channel.md; ``presented`` the name in its certificate, None when there
    was none to read. Neither is sent to the peer.
    """

    code = "peer-refused"

    def __init__(self, reason: str, presented: str | None = None) -> None:
        super().__init__(f"the peer was refused: {reason}; it presented {presented or 'no readable identity'}")
        self.reason = reason
        self.presented = presented


class FrameError(ChannelError):
    """Bytes on the wire break the protocol. The connection is closed."""

    code = "frame-invalid"


class DeliveryFailed(ChannelError):
    """A message was not delivered: refused, expired, or its receiver gone. ``reason`` is a short stable word."""

    code = "delivery-failed"

    def __init__(self, message: str, *, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class Overloaded(ChannelError):
    """The receiver had no room for one message more before the deadline."""

    code = "overloaded"
