"""Whether a value in a secret's place is one: placeholders, code, words and repetition are not.

Every function is a validator: it gets the value and its line up to the value, and returns the value's true length or 0.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re

__all__ = [
    "basic",
    "bearer",
    "jwt",
    "key",
    "keyed",
    "line",
    "password",
    "provider_token",
    "random_token",
    "shannon",
    "url_password",
    "user",
]

# Longer values are no names of files; the pattern for those is not linear.
MAX_NAME = 256
# Words people write where a secret would stand.
_PLACEHOLDER = re.compile(
    r"(?i)^(?:x{3,}|[*.•#_\-]+|<.*>|\$.*|\{\{.*\}\}|\{[\w.]*\}|%.*%|\[.*\]|(?:none|null|nil|true|false|undefined|string|str|"
    r"text|bool|int|bytes|required|optional|redacted|removed|hidden|masked|secret|password|passwd|pwd|pass|token|value|"
    r"default|empty|unknown|n/?a|tbd|todo|foo|bar|baz|test|example|sample|dummy|fake|mock|placeholder|wrong|correct|"
    r"changeme|change_me|change-me|your\w*|my\w*|insert\w*|enter\w*|todo\w*)|"
    r".*(?:example|placeholder|your[_-]|_here|changeme|redacted|dummy|insert[_-]|xxxx|\*\*\*\*|\.\.\.|fake|too.?short).*)$"
)
_CODE = re.compile(
    r"^(?:[A-Za-z_][\w.]*[(\[].*|(?:self|this|os|process|env|config|settings|request|args|options|params)[.\[].*|.*\(\)?)$"
)
_HEADER_NAME = re.compile(r"(?i)(?:authorization|x-api-key|x-auth-token|private-token)[\"']?[ \t]*[:=]")
_WORDS = re.compile(r"^[A-Za-z]+(?:[_.\- ][A-Za-z]+)*[.:]?$")
# What sentences about a password hold, and passphrases do not.
_SENTENCE = re.compile(
    r"(?i)\b(?:your|enter|please|must|should|is|are|the|an?|of|for|passwords?|be|not|cannot|invalid|incorrect|wrong|"
    r"forgot|reset|change|confirm|required|min|max|characters?|users?|fields?|missing|expired|token|key)\b"
)
_DOTTED = re.compile(r"^[A-Za-z_]\w*(?:[.:/][A-Za-z_]\w*)+$")
_SNAKE = re.compile(r"^[a-z]+(?:_[a-z]+)+$")
_FILE = re.compile(r"^[\w./-]*/[\w./-]*\.[a-z]{2,5}$")
_LISTED = re.compile(r",[ \t]*[\"'`]$")
_SPECIAL = re.compile(r"[^0-9A-Za-z\s._\-(),:]")
_VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*=$")


def shannon(value: str) -> float:
    """Entropy in bits per character."""
    size = len(value)
    counts = [value.count(char) for char in set(value)]
    return math.log2(size) - sum([n * math.log2(n) for n in counts if n > 1]) / size if size else 0.0


def provider_token(value: str, before: str) -> int:
    """No placeholder: those say that they are examples, or repeat few characters."""
    low = value.lower()
    if "example" in low or "xxxx" in low or len(set(low[-16:])) < 5:
        return 0
    body = re.split(r"[_.:-]", value)[-1]
    # A long name in camel or snake case has no digit at all; a random body of this length has.
    return 0 if len(body) >= 16 and _WORDS.match(body) and 0 < shannon(body.lower()) < 3.2 else len(value)


def random_token(value: str, before: str) -> int:
    """A token whose prefix says little: letters and digits mixed, as in no name."""
    body = value[2:]
    mixed = sum(map(str.isdigit, body)) >= 2 and sum(map(str.isalpha, body)) >= 2
    return provider_token(value, before) if mixed and shannon(body) >= 3.0 else 0


def keyed(value: str, before: str) -> int:
    """The provider's name stands before it and its form fits, so it only must not be a word or a placeholder."""
    if _PLACEHOLDER.match(value) or _WORDS.match(value) or len(set(value)) < 5:
        return 0
    return len(value) if any(c.isdigit() or c == ":" for c in value) else 0


def is_own_key(value: str, before: str) -> bool:
    """Whether the value only repeats the key it is given to, as in ``login(password=password)``."""
    words = before.rstrip(" \t'\"`:=>").rsplit(None, 1)
    return bool(words) and value.lower() in words[-1].lower()


def password(value: str, before: str) -> int:
    """A password-like assignment: anything quoted that is no sentence, anything bare that is no word or expression."""
    if _PLACEHOLDER.match(value) or _CODE.match(value) or is_own_key(value, before):
        return 0
    if _LISTED.search(before) and not any(map(str.isdigit, value)):
        return 0
    if _SNAKE.match(value) or _is_file(value) or not any(map(str.isalnum, value)):
        return 0
    quoted = before.endswith(('"', "'", "`"))
    if quoted or before[-1:] == ">":
        return 0 if " " in value and _SENTENCE.search(value) else len(value)
    if before[-1:] == "=" and _VARIABLE.match(before.rsplit(None, 1)[-1]):
        return len(value) if len(value) >= 4 else 0
    return 0 if len(value) < 4 or _WORDS.match(value) or _DOTTED.match(value) else len(value)


def key(value: str, before: str) -> int:
    """A token or key: long, mixed, and not a word, path, URL or expression."""
    if (
        len(value) < 12
        or _PLACEHOLDER.match(value)
        or _CODE.match(value)
        or _WORDS.match(value)
        or _DOTTED.match(value)
    ):
        return 0
    if "://" in value or value.startswith(("/", "./", "--")):
        return 0
    if " " in value:
        return 0
    if _is_noise(value):
        return len(value)
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return len(value) if mixed and shannon(value) >= 2.9 and not _is_file(value) else 0


def line(value: str, before: str) -> int:
    """A bare value up to its line's end that holds brackets: random text, not an expression."""
    value = value.rstrip(",;")
    if len(value) < 8 or _PLACEHOLDER.match(value) or _CODE.match(value) or "://" in value:
        return 0
    return len(value) if _is_noise(value) else 0


def _is_file(value: str) -> bool:
    return len(value) <= MAX_NAME and _FILE.match(value) is not None


def _is_noise(value: str) -> bool:
    """Many kinds of marks between letters: no language looks like this."""
    marks = len(set(_SPECIAL.findall(value)))
    return marks >= 4 and len(set(value)) >= 10 and any(map(str.isalnum, value))


def bearer(value: str, before: str) -> int:
    """A credential behind ``Bearer``, or in a header that holds nothing else."""
    if _PLACEHOLDER.match(value):
        return 0
    if _HEADER_NAME.search(before):
        return len(value)
    return len(value) if any(map(str.isdigit, value)) and shannon(value) >= 2.5 else 0


def basic(value: str, before: str) -> int:
    """Base64 of ``user:password`` (RFC 7617), or any in an Authorization header."""
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return 0
    return len(value) if b":" in decoded or _HEADER_NAME.search(before) else 0


def url_password(value: str, before: str) -> int:
    """No placeholder."""
    return 0 if _PLACEHOLDER.match(value) else len(value)


def user(value: str, before: str) -> int:
    """``name:password`` of a command line, unless it names variables or says that it is an example."""
    name, _, secret = value.partition(":")
    secret = (secret or name).strip("'")
    if len(secret) < 5 or (any(mark in value for mark in ("$", "<", "{", "[", "(")) and not _random(secret)):
        return 0
    return 0 if _PLACEHOLDER.match(secret) or (secret == name and ":" not in value) else len(value)


def _random(value: str) -> bool:
    return any(map(str.isdigit, value)) and not value.startswith(("$", "<", "{", "[", "(")) and "{{" not in value


def jwt(value: str, before: str) -> int:
    """A header that decodes to a JSON object (RFC 7519); one that is cut or damaged still looks like one."""
    head = value.partition(".")[0]
    try:
        decoded = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except (binascii.Error, ValueError):
        return 0
    text = decoded.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return 0
    try:
        json.loads(text)
    except ValueError:
        return len(value) if re.search(r'"(?:alg|typ|kid|enc)"', text) and text.endswith("}") else 0
    return len(value)
