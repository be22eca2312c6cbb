"""What a caller may hand to the vault: names, values, time spans. No message shows a value."""

from __future__ import annotations

import datetime
import unicodedata

from agentguard.errors import ConfigError, OversizedError

__all__ = ["key_value", "service_name", "span_seconds"]

MAX_NAME_CHARACTERS = 128
MAX_VALUE_BYTES = 64 * 1024
MAX_SPAN = datetime.timedelta(days=36_500)


def service_name(service: object) -> str:
    if not isinstance(service, str) or not service or not service.isprintable() or service != service.strip():
        raise ConfigError("a service has a name of printable characters, without spaces at its ends")
    if len(service) > MAX_NAME_CHARACTERS:
        raise OversizedError(f"a service's name has at most {MAX_NAME_CHARACTERS} characters, got {len(service)}")
    if not unicodedata.is_normalized("NFC", service):
        raise ConfigError("a service's name must be in Unicode normal form C, so that it is found however it is typed")
    return service


def key_value(api_key: object) -> bytes:
    # The value is in no message: whoever passes a wrong one passes a secret.
    if not isinstance(api_key, str) or not api_key:
        raise ConfigError("an API key is a text that is not empty")
    try:
        raw = api_key.encode()
    except UnicodeEncodeError:
        raise ConfigError("an API key is a text that UTF-8 can hold, without lone surrogates") from None
    if len(raw) > MAX_VALUE_BYTES:
        raise OversizedError(f"an API key has at most {MAX_VALUE_BYTES} bytes, got {len(raw)}")
    return raw


def span_seconds(span: datetime.timedelta) -> float:
    seconds = span.total_seconds()
    if not 0 <= seconds <= MAX_SPAN.total_seconds():
        raise ConfigError(f"a time span is from 0 to {MAX_SPAN.days} days, got {span}")
    return seconds
