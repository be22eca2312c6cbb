"""Telling binary data that travels as base64 text (images, audio, documents) from text."""

from __future__ import annotations

import functools

import re2

__all__ = ["is_media"]

# First characters of base64 for PNG, JPEG, GIF, RIFF (WebP, WAV), PDF, TIFF, Ogg and MP3.
_SIGNATURES = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "JVBERi0", "SUkqA", "TU0AK", "T2dnUw", "SUQzB")
_DATA_URL = "data:"
# Shorter strings are cheap to scan, so nothing is gained by passing them.
MIN_LENGTH = 256


def is_media(text: str) -> bool:
    """Whether the whole text is one base64 body (or data URL) that begins with a known binary signature."""
    if len(text) < MIN_LENGTH:
        return False
    start = 0
    if text.startswith(_DATA_URL):
        start = text.find("base64,", 0, 100) + len("base64,")
    return text.startswith(_SIGNATURES, start) and _body().fullmatch(text, start) is not None


@functools.lru_cache(maxsize=1)
def _body() -> re2._Regexp:
    return re2.compile(r"[A-Za-z0-9+/\r\n]+={0,2}\s*")
