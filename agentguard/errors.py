"""Every exception AgentGuard raises, in one tree.

::

    AgentGuardError                   .code: short, stable, listed in docs/errors.md
      ConfigError (ValueError)        a setting cannot be used
        UnsupportedValueError         a value that no check can read was handed to the guard
        MissingPasswordError          no master password was given or set
        WeakPasswordError             a new master password that would be guessed
        WeakKeyError                  a key that nobody drew at random
        OversizedError                an input is longer than what is taken
      PolicyError                     a policy does not load; .path .line .column
        CasesError                    a file of cases for `agentguard policy test` does not load
      Denied (PermissionError)        the decision was deny; .decision
        RateLimited                   .retry_after in seconds
      StageError                      a stage failed; the guard turns it into a deny
      ToolFailedError                 a tool raised, and its message had to be rewritten
      StoreError                      a database or its folder cannot be used
        StoreUnavailable              a database server cannot be reached or does not let us in
      KeySourceError                  a key is missing, unreadable by us or readable by others
        WrongPasswordError            the master password is another one
      DecryptError                    a ciphertext does not open under this key
      SessionError                    a token gives no session; one class a reason
        TokenOversized                longer than any token of ours
        TokenMalformed                no token of ours in form, header or claims
        UnknownKey                    signed under a key that is not, or no longer, ours
        BadSignature                  not signed with that key by the one algorithm
        MissingClaim                  .claim is not there
        WrongIssuer, WrongAudience    made by, or for, somebody else
        TokenNotYetValid              from the future, beyond the tolerance for clocks
        TokenExpired                  its time, or that of its session, is over
        SessionUnknown                no such session: it ended long ago, or never was
        SessionRevoked                logged out, or revoked by somebody entitled
        SessionIdle                   not used for longer than permitted
        RefreshReused                 a refresh token came a second time; its session was revoked
        WrongKeyError                 it names another key than those at hand
        ForgedError                   its bytes, or what they are bound to, were changed
        ReplayedError                 it is genuine but older than what belongs there
      KeyAbsentError (KeyError)       the vault holds no such API key
      KeyExpiredError                 the API key, or the grace of an old version, is over
      FileRefusedError                a file cannot be encrypted or decrypted safely
        FileAbsentError (FileNotFoundError)   there is no such file
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
    "BadSignature",
    "CasesError",
    "ChannelError",
    "ConfigError",
    "DecryptError",
    "DeliveryFailed",
    "Denied",
    "EnrolmentRefused",
    "FileAbsentError",
    "FileRefusedError",
    "ForgedError",
    "FrameError",
    "IdentityError",
    "KeyAbsentError",
    "KeyExpiredError",
    "KeySourceError",
    "MissingClaim",
    "MissingPasswordError",
    "Overloaded",
    "OversizedError",
    "PeerRefused",
    "PolicyError",
    "RateLimited",
    "RefreshReused",
    "ReplayedError",
    "ScanError",
    "SecurityError",
    "SessionError",
    "SessionIdle",
    "SessionRevoked",
    "SessionUnknown",
    "StageError",
    "StoreError",
    "StoreUnavailable",
    "TamperError",
    "TokenExpired",
    "TokenMalformed",
    "TokenNotYetValid",
    "TokenOversized",
    "ToolFailedError",
    "UnknownKey",
    "UnsupportedValueError",
    "WeakKeyError",
    "WeakPasswordError",
    "WriteError",
    "WrongAudience",
    "WrongIssuer",
    "WrongKeyError",
    "WrongPasswordError",
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


class MissingPasswordError(ConfigError):
    """No master password was handed in, none is set in the environment, or it is empty."""

    code = "password-missing"


class WeakPasswordError(ConfigError):
    """A new master password is too short, or among the first that anybody would guess."""

    code = "password-weak"


class WeakKeyError(ConfigError):
    """A key repeats a few byte values: nobody drew it at random."""

    code = "key-weak"


class OversizedError(ConfigError):
    """An input is longer than what is taken; the message says the limit."""

    code = "input-oversized"


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


class WrongPasswordError(KeySourceError):
    """The master password is not the one that the data was encrypted under."""

    code = "password-wrong"


class DecryptError(AgentGuardError):
    """A ciphertext does not open: wrong key, wrong associated data, or changed bytes."""

    code = "decrypt-failed"


class SessionError(AgentGuardError):
    """A token gives no session. The message never holds the token, a key, or a claim nobody vouches for."""

    code = "session-refused"


class TokenOversized(SessionError):
    """Longer than any token of ours: not read at all."""

    code = "token-oversized"


class TokenMalformed(SessionError):
    """Not a token of ours: its form, a header parameter, a claim twice, a claim of another type."""

    code = "token-malformed"


class UnknownKey(SessionError):
    """The key it names is not ours, or was retired."""

    code = "token-key-unknown"


class BadSignature(SessionError):
    """Unsigned, signed by another algorithm, or not by the key it names."""

    code = "token-signature-wrong"


class MissingClaim(SessionError):
    """A required claim is absent; ``claim`` names it."""

    code = "token-claim-missing"

    def __init__(self, claim: str) -> None:
        super().__init__(f"the token has no claim {claim!r}, which is required; log in again")
        self.claim = claim


class WrongIssuer(SessionError):
    """Made by another issuer."""

    code = "token-issuer-wrong"


class WrongAudience(SessionError):
    """Made for another audience."""

    code = "token-audience-wrong"


class TokenNotYetValid(SessionError):
    """Issued in, or valid from, the future."""

    code = "token-not-yet-valid"


class TokenExpired(SessionError):
    """Its time is over, or that of its session."""

    code = "token-expired"


class SessionUnknown(SessionError):
    """There is no such session: it ended long ago, or its state was lost."""

    code = "session-unknown"


class SessionRevoked(SessionError):
    """The session was ended."""

    code = "session-revoked"


class SessionIdle(SessionError):
    """The session was not used for longer than it may be."""

    code = "session-idle"


class RefreshReused(SessionError):
    """A refresh token was used twice: one of the two users stole it, so the session is revoked for both."""

    code = "refresh-reused"


class WrongKeyError(DecryptError):
    """A ciphertext names a key that is not among those at hand."""

    code = "key-wrong"


class ForgedError(DecryptError):
    """The key is right, yet bytes were changed, moved, cut off or added, or are bound to something else."""

    code = "ciphertext-forged"


class ReplayedError(DecryptError):
    """A genuine ciphertext stands where a newer one belongs."""

    code = "ciphertext-replayed"


class KeyAbsentError(AgentGuardError, KeyError):
    """The vault holds no API key of this name, or no such version."""

    code = "key-absent"
    # KeyError shows its message in quotes.
    __str__ = Exception.__str__


class KeyExpiredError(AgentGuardError):
    """The API key's time is over, or the grace in which an old version could still be read."""

    code = "key-expired"


class FileRefusedError(AgentGuardError):
    """A file cannot be encrypted or decrypted without risk to it or to others; everything is as it was."""

    code = "file-refused"


class FileAbsentError(FileRefusedError, FileNotFoundError):
    """There is no such file."""

    code = "file-absent"
    # OSError would show an errno that is not set.
    __str__ = Exception.__str__


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
