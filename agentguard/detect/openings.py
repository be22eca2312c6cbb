"""Where in the beginning of a longer text something starts that what follows may complete or change.

Everything before that place reads the same whatever follows: a stream may let it go on. Each function gives a place, or
None when nothing is open. Time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentguard.detect.markup import TAG, links, tag_end
from agentguard.detect.recognizers.engine import reading
from agentguard.detect.recognizers.secrets import PEM_BODY, PEM_FOOTER, PEM_HEADER
from agentguard.text.view import View
from agentguard.text.views import clean_view, encodable

__all__ = ["FOOTER", "HEADER", "LABEL_END", "body_end", "markup_spans", "open_address", "open_block", "prose_cut"]

# No recognizer matches across this many gaps between words of plain letters, nor looks this far back for context.
PROSE_GAPS = 8
PROSE_CONTEXT = 128
# What a line ends with that can announce a value on the next one; an address too: "](", "href =", "url(".
LABEL_END = (":", ">")
ADDRESS_END = ("=", "(", "<")

HEADER = re.compile(PEM_HEADER)
FOOTER = re.compile(PEM_FOOTER)
_BODY = re.compile(PEM_BODY)
_PROSE = re.compile(r"(?:[^\W\d_]|[ ,.;!?()]|(?<=[^\W\d_])'(?=[^\W\d_]))*")
_TAG_BEGUN = re.compile(r"<[/?]?\Z")


def _script_begun() -> str:
    """``javascript:`` as far as it goes, with blanks between its letters."""
    pattern = r"(?:[\t\n\r\x00]*(?:&[#0-9a-zA-Z]*|%3?)?)?"
    for letter in "tpircsava":
        pattern = rf"(?:[\s\x00]*(?:{letter}{pattern})?)?"
    return rf"(?i)\bj{pattern}\Z"


_SCRIPT_BEGUN = re.compile(_script_begun())
_SCRIPT_LENGTH = 512


def open_block(text: str) -> int | None:
    """A private-key block, or a label on the last line whose value may stand on the next."""
    label = _open_label(text)
    # A key block that ends on the label's line must not be cut before that line.
    inner = None if label is None else _open_key(text[:label])
    return min((start for start in (_open_key(text), label, inner) if start is not None), default=None)


def markup_spans(text: str) -> list[tuple[int, int]]:
    """Elements, Markdown links and images that may go on over a line's end: ``[start, end)`` of each.

    What the text to come may complete ends behind the text; an image that is defined elsewhere, too.
    """
    return [*_tags(text), *_links(text)]


def open_address(text: str) -> int | None:
    """A script address that has begun, or a mark behind which an address may stand on the next line."""
    script = _SCRIPT_BEGUN.search(text, max(0, len(text) - _SCRIPT_LENGTH))
    if script is not None:
        return script.start()
    bare = text.rstrip()
    return len(bare) - 1 if len(bare) < len(text) and bare.endswith(ADDRESS_END) else None


def body_end(text: str, start: int) -> int:
    """Where the body of a private-key block ends that goes on at ``start``."""
    body = _BODY.match(text, start)
    return start if body is None else body.end()


def prose_cut(line: str) -> int:
    """How much of an unfinished line of plain words can go on: all but the last words."""
    words = _PROSE.match(line)
    prose = (words.end() if words else 0) - PROSE_CONTEXT
    if prose <= 0:
        return 0
    gaps = [m.start() for m in re.finditer(" +", line[: prose + PROSE_CONTEXT])]
    usable = [gap for gap in gaps[:-PROSE_GAPS] if gap <= prose]
    return usable[-1] if usable else 0


def _open_label(text: str) -> int | None:
    end = text.rfind("\n")
    if end < 0:
        return None
    start = text.rfind("\n", 0, end) + 1
    return start if reading(text[start:end]).text.rstrip().endswith(LABEL_END) else None


def _open_key(text: str) -> int | None:
    if "PRIVATE" not in (clean := clean_view(View(text))).text:
        return None
    at = first = 0
    while header := HEADER.search(clean.text, at):
        # Blocks that share a line go on together or not at all.
        if at == 0 or "\n" in clean.text[at : header.start()]:
            first = header.start()
        at = body_end(clean.text, header.end())
        if footer := FOOTER.match(clean.text, at):
            at = footer.end()
        if "\n" not in clean.text[at:]:
            return clean.span(first, header.end())[0]
    return None


def _tags(text: str) -> Iterator[tuple[int, int]]:
    if "<" not in text:
        return
    end = 0
    for tag in TAG.finditer(encodable(text)):
        if tag.start() < end:
            continue
        absent = {'"': False, "'": False}
        end = tag_end(text, tag.end(), absent)
        # A quote that is not closed yet may be, and the tag then ends elsewhere.
        if any(absent.values()) or (end == len(text) and text[-1] != ">"):
            yield tag.start(), len(text) + 1
            return
        yield tag.start(), end
    if begun := _TAG_BEGUN.search(text, max(0, len(text) - 2)):
        yield begun.start(), len(text) + 1


def _links(text: str) -> Iterator[tuple[int, int]]:
    for link in links(text):
        yield link.start, link.end if link.closed and link.end < len(text) else len(text) + 1
